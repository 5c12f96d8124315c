"""TLS at the gateway: who gets in, and how a certificate is renewed under calls.

The certificates' folder is written as kubelet writes it. Not shown: kubelet's own delay, and that
it mounts the Secret.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import grpc
import pytest
import trustme

from components.gateway.envoy.protojson import Json
from components.gateway.envoy.stats import (
    CERTIFICATE_EXPIRES,
    CERTIFICATE_LABEL,
    ROTATION_FAILED,
    SECRET_LABEL,
)
from components.gateway.envoy.tls import SERVER
from components.rollout.status.message import telling
from tests.envoy.harness.bed import Bed
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.secrets import NAME, TLS, Mounts, chain, common, pair, without_start_check
from tests.envoy.harness.steady import SteadyCalls
from tests.envoy.harness.waiting import free_ports, wait_until
from tests.envoy.test_metrics import matching

STRANGER = trustme.CA()

Open = Callable[..., AbstractContextManager[Bed]]


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(tmp_path / "mounts")


@pytest.fixture
def tls_bed(bed: Open, mounts: Mounts) -> Open:
    """A bed of one replica, whose gateway reads `mounts`; a mutation sees the bootstrap last."""

    def of(mutate: Callable[[Json], None] = lambda _: None, **tls: str):
        def edit(config: Json) -> None:
            mounts.edit(config)
            mutate(config)

        return bed(replicas=1, gateway={"tls": {**TLS, **tls}}, edit=edit)

    return of


def client(bed: Bed, ca: bytes | None) -> GrpcClient:
    if ca is None:
        return GrpcClient(bed.gateway.port)
    credentials = grpc.ssl_channel_credentials(ca)
    return GrpcClient(bed.gateway.port, credentials=credentials, ssl_target_name_override=NAME)


def greet(
    port: int, ca: bytes, version: ssl.TLSVersion | None = None
) -> tuple[bytes | None, str | None]:
    """Open a connection; return the certificate there and the protocol that ALPN chose."""
    context = ssl.create_default_context(cadata=ca.decode())
    context.set_alpn_protocols(["http/1.1", "h2"])
    if version:
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        return connection.getpeercert(True), connection.selected_alpn_protocol()


def ready(bed: Bed) -> bool:
    return bed.gateway.get("/ready", port=bed.stack.gateway.ops_port)[0] == 200


def without_tls(config: Json) -> None:
    del chain(config)["transport_socket"]


def test_callers_that_trust_the_certificate_get_in_and_no_others(tls_bed, mounts):
    with tls_bed() as it:
        with client(it, mounts.ca) as right:
            assert right.call().code.name == "OK"
        for other in (STRANGER.cert_pem.bytes(), None):
            wrong = client(it, other)
            end = wrong.call()
            wrong.channel.close()
            assert (end.code.name, end.by_caller) == ("UNAVAILABLE", True)
        assert it.gateway.downstream_stat("downstream_rq_total") == 1


def test_only_tls_keeps_plain_text_out(tls_bed):
    with tls_bed(without_tls) as it, client(it, None) as plain:
        assert plain.call().code.name == "OK"


def test_plain_text_beside_tls_is_for_gateways_alone_that_state_a_reason(tls_bed, mounts):
    with tls_bed(acceptPlaintext="callers change until May") as it:
        with client(it, mounts.ca) as right, client(it, None) as plain:
            assert right.call().code.name == plain.call().code.name == "OK"
        # By this difference operators see whether anyone still uses plain text.
        assert it.gateway.downstream_stat("downstream_cx_total") == 2
        assert it.gateway.downstream_stat("downstream_cx_ssl_total") == 1
        wrong = client(it, STRANGER.cert_pem.bytes())
        assert wrong.call().code.name == "UNAVAILABLE"
        wrong.channel.close()


def test_a_silent_connection_is_closed_where_the_gateway_waits_for_either(tls_bed):
    def in_short(config: Json) -> None:
        config["static_resources"]["listeners"][0]["listener_filters_timeout"] = "0.2s"

    with (
        tls_bed(in_short, acceptPlaintext="callers change until May") as it,
        socket.create_connection(("127.0.0.1", it.gateway.port), timeout=8) as silent,
    ):
        assert silent.recv(1) == b""


def without_versions(config: Json) -> None:
    del common(config)["tls_params"]


@pytest.mark.parametrize(
    ("mutate", "tls", "accepted"),
    [
        (lambda _: None, {}, False),
        (lambda _: None, {"minVersion": "1.2"}, True),
        (without_versions, {}, True),
    ],
)
def test_tls_1_2_is_for_gateways_alone_that_allow_it(tls_bed, mounts, mutate, tls, accepted):
    with tls_bed(mutate, **tls) as it:
        greet(it.gateway.port, mounts.ca, ssl.TLSVersion.TLSv1_3)
        old = partial(greet, it.gateway.port, mounts.ca, ssl.TLSVersion.TLSv1_2)
        if accepted:
            old()
        else:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                old()


def without_alpn(config: Json) -> None:
    del common(config)["alpn_protocols"]


@pytest.mark.parametrize(("mutate", "chosen"), [(lambda _: None, "h2"), (without_alpn, None)])
def test_the_gateway_chooses_http2(tls_bed, mounts, mutate, chosen):
    with tls_bed(mutate) as it:
        assert greet(it.gateway.port, mounts.ca)[1] == chosen


def test_a_connection_without_a_handshake_is_closed(tls_bed):
    """In short; the shipped time is in the manifests."""

    def in_short(config: Json) -> None:
        chain(config)["transport_socket_connect_timeout"] = "0.2s"

    with (
        tls_bed(in_short) as it,
        socket.create_connection(("127.0.0.1", it.gateway.port), timeout=8) as silent,
    ):
        assert silent.recv(1) == b""


def der(files: dict[str, bytes]) -> bytes:
    """The first certificate of a chain, as a handshake shows it."""
    first, _, _ = files["tls.crt"].decode().partition(ssl.PEM_FOOTER)
    return ssl.PEM_cert_to_DER_cert(first + ssl.PEM_FOOTER)


def test_a_certificate_is_renewed_under_calls_and_no_call_is_lost(tls_bed, mounts):
    with tls_bed() as it, client(it, mounts.ca) as caller, SteadyCalls(caller) as calls:
        for _ in range(2):
            renewed = der(mounts.renew())
            wait_until(
                "new connections meet the new certificate",
                lambda renewed=renewed: greet(it.gateway.port, mounts.ca)[0] == renewed,
            )
            calls.more()
    assert set(codes(calls.outcomes)) == {"OK"}


def test_a_certificate_in_the_listener_itself_is_not_read_again(tls_bed, mounts):
    """Both listeners have the same files. When the one that reads them by SDS has the new
    certificate, the other has the old one."""
    (inline,) = free_ports(1)

    def beside(config: Json) -> None:
        listeners = config["static_resources"]["listeners"]
        listeners.append(mounts.inline(listeners[0], inline))

    with tls_bed(beside) as it:
        old = greet(inline, mounts.ca)
        renewed = der(mounts.renew())
        wait_until("it is read by SDS", lambda: greet(it.gateway.port, mounts.ca)[0] == renewed)
        assert greet(inline, mounts.ca) == old


def test_a_key_that_does_not_match_keeps_the_old_certificate_and_is_counted(tls_bed, mounts):
    old = mounts.renew()
    failed = f"sds.{SERVER}.key_rotation_failed"
    with tls_bed() as it, client(it, mounts.ca) as caller, SteadyCalls(caller) as calls:
        mounts.certificate.write(pair(mounts.authority, NAME) | {"tls.key": old["tls.key"]})
        wait_until("the rotation has failed", lambda: it.gateway.stat(failed) == 1)
        assert greet(it.gateway.port, mounts.ca)[0] == der(old)
        calls.more()
        assert ready(it)
        renewed = der(mounts.renew())
        wait_until("the next one succeeds", lambda: greet(it.gateway.port, mounts.ca)[0] == renewed)
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
    assert set(codes(calls.outcomes)) == {"OK"}
    assert matching(text, ROTATION_FAILED, SECRET_LABEL, SERVER)
    assert matching(text, CERTIFICATE_EXPIRES, CERTIFICATE_LABEL, SERVER)


def with_wrong_key(mounts: Mounts) -> None:
    key = mounts.renew()["tls.key"]
    mounts.certificate.write(pair(mounts.authority, NAME) | {"tls.key": key})


def without_certificate(mounts: Mounts) -> None:
    mounts.certificate.write({"tls.crt": b"", "tls.key": mounts.renew()["tls.key"]})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(with_wrong_key, "KEY_VALUES_MISMATCH"), (without_certificate, "certificate chain not set")],
)
def test_a_gateway_does_not_start_with_a_bad_certificate_and_says_why(
    tls_bed, mounts, spoil, reason
):
    """`up` quotes these lines; on a cluster, tests/serving/test_rollout_failures.py shows that."""
    spoil(mounts)
    with pytest.raises(AssertionError, match="Envoy ended with 1") as ended, tls_bed():
        pass
    assert any(reason in line for line in telling(str(ended.value)))


def test_only_the_check_at_the_start_keeps_such_a_gateway_from_being_ready(tls_bed, mounts):
    """It takes no call until the key is right."""
    with_wrong_key(mounts)
    with tls_bed(without_start_check) as it:
        caller = client(it, mounts.ca)
        assert caller.call().code.name == "UNAVAILABLE"
        assert ready(it)
        mounts.renew()
        wait_until("it takes calls", lambda: caller.call().code.name == "OK")
        caller.channel.close()
