"""Clients with certificates: who gets in, and how an authority comes and goes under calls.

The bundle's folder is written as kubelet writes it. Not shown: kubelet's own delay.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from components.gateway.envoy.protojson import Json
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.secrets import (
    NAME,
    TLS,
    Mounts,
    chain,
    common,
    pair,
    with_uri,
    without_start_check,
)
from tests.envoy.harness.steady import SteadyCalls
from tests.envoy.harness.waiting import wait_until

CALLERS, NEWCOMERS, STRANGERS = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(3))
KNOWN = pair(CALLERS, "orchestrator.example.com")
NEW = pair(NEWCOMERS, "orchestrator.example.com")
STRANGER = pair(STRANGERS, "orchestrator.example.com")
CLIENTS = {"ca": {"kind": "secret", "name": "callers"}}

Open = Callable[..., AbstractContextManager[Bed]]
Pair = dict[str, bytes]


def unchanged(config: Json) -> None:
    del config


@pytest.fixture
def open_to(bed: Open, tmp_path: Path):
    """A bed of one replica and the mounts of its gateway, which knows `CALLERS`."""

    def of(mutate: Callable[[Json], None] = unchanged, **clients: Any):
        mounts = Mounts(tmp_path / "mounts", {**TLS, "clients": {**CLIENTS, **clients}})
        mounts.trust(CALLERS)

        def edit(config: Json) -> None:
            mounts.edit(config)
            mutate(config)

        return mounts, bed(replicas=1, gateway={"tls": mounts.options}, edit=edit)

    return of


def client(bed: Bed, mounts: Mounts, own: Pair | None) -> GrpcClient:
    key, certificate = (own["tls.key"], own["tls.crt"]) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(mounts.ca, key, certificate)
    return GrpcClient(bed.gateway.port, credentials=credentials, ssl_target_name_override=NAME)


def outcome(bed: Bed, mounts: Mounts, own: Pair | None) -> str:
    """Status of one call on a connection of its own."""
    caller = client(bed, mounts, own)
    try:
        return caller.call().code.name
    finally:
        caller.channel.close()


def counted(bed: Bed, name: str) -> int:
    return bed.gateway.stat(f"listener.127.0.0.1_{bed.gateway.port}.ssl.{name}")


def test_clients_of_the_authority_get_in_and_no_others(open_to):
    mounts, bed = open_to()
    with bed as it:
        assert outcome(it, mounts, KNOWN) == "OK"
        assert outcome(it, mounts, None) == "UNAVAILABLE"
        assert counted(it, "fail_verify_no_cert") > 0
        assert outcome(it, mounts, STRANGER) == "UNAVAILABLE"
        assert counted(it, "fail_verify_error") > 0
        plain = GrpcClient(it.gateway.port)
        assert plain.call().code.name == "UNAVAILABLE"
        plain.channel.close()
        assert it.gateway.downstream_stat("downstream_rq_total") == 1


def optional(config: Json) -> None:
    del chain(config)["transport_socket"]["typed_config"]["require_client_certificate"]


def unverified(config: Json) -> None:
    del common(config)["validation_context_sds_secret_config"]


@pytest.mark.parametrize(("mutate", "own"), [(optional, None), (unverified, STRANGER)])
def test_each_setting_keeps_its_clients_out(open_to, mutate, own):
    mounts, bed = open_to(mutate)
    with bed as it:
        assert outcome(it, mounts, own) == "OK"


def test_while_certificates_are_not_required_a_wrong_one_is_still_refused(open_to):
    mounts, bed = open_to(required=False)
    with bed as it:
        assert outcome(it, mounts, None) == outcome(it, mounts, KNOWN) == "OK"
        assert outcome(it, mounts, STRANGER) == "UNAVAILABLE"
        # By this counter operators see whether anyone still has none.
        assert counted(it, "no_certificate") == 1


@pytest.mark.parametrize(
    ("names", "own", "gets_in"),
    [
        (["orchestrator.example.com"], KNOWN, True),
        (["spiffe://example.com/a", "b.example.com"], pair(CALLERS, "b.example.com"), True),
        (["spiffe://example.com/a"], with_uri(CALLERS, "spiffe://example.com/a"), True),
        (["spiffe://example.com/a"], with_uri(CALLERS, "spiffe://example.com/ab"), False),
        (["spiffe://example.com/a"], KNOWN, False),
        (["example.com"], KNOWN, False),
        # A wildcard in a certificate stands for every name that it covers.
        (["orchestrator.example.com"], pair(CALLERS, "*.example.com"), True),
        ([], pair(CALLERS, "other.example.com"), True),
    ],
)
def test_of_the_authoritys_clients_only_the_stated_names_get_in(open_to, names, own, gets_in):
    mounts, bed = open_to(names=names)
    with bed as it:
        assert (outcome(it, mounts, own) == "OK") is gets_in
        assert (counted(it, "fail_verify_san") > 0) is not gets_in


def test_authority_and_certificate_change_under_calls_and_no_call_is_lost(open_to):
    mounts, bed = open_to()
    with bed as it, client(it, mounts, KNOWN) as caller, SteadyCalls(caller) as calls:
        mounts.trust(CALLERS, NEWCOMERS)
        wait_until("newcomers get in", lambda: outcome(it, mounts, NEW) == "OK")
        mounts.renew()
        calls.more()
        assert outcome(it, mounts, KNOWN) == "OK"
    assert set(codes(calls.outcomes)) == {"OK"}


def in_short(config: Json) -> None:
    parts.manager(config)["common_http_protocol_options"]["max_connection_duration"] = "1s"


@pytest.mark.parametrize(("mutate", "ends"), [(in_short, True), (unchanged, False)])
def test_a_removed_client_stays_only_until_its_connections_age(open_to, mutate, ends):
    """With an age of a second; the stack's own is minutes."""
    mounts, bed = open_to(mutate)
    with bed as it, client(it, mounts, KNOWN) as caller:
        assert caller.call().code.name == "OK"
        mounts.trust(NEWCOMERS)
        wait_until("it cannot connect", lambda: outcome(it, mounts, KNOWN) == "UNAVAILABLE")
        if ends:
            wait_until("it is out", lambda: caller.call().code.name == "UNAVAILABLE")
        else:
            assert set(codes(caller.calls(100))) == {"OK"}


def test_a_removed_client_gets_in_by_no_earlier_session(open_to, tmp_path):
    mounts, bed = open_to()
    (tmp_path / "own.pem").write_bytes(KNOWN["tls.key"] + KNOWN["tls.crt"])
    context = ssl.create_default_context(cadata=mounts.ca.decode())
    context.load_cert_chain(tmp_path / "own.pem")

    def greet(session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession | None]:
        """Connect and wait for the gateway's SETTINGS; TLS 1.3 refuses a client only then."""
        with (
            socket.create_connection(("127.0.0.1", it.gateway.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=NAME, session=session) as connection,
        ):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            assert connection.recv(1)
            return connection.session_reused, connection.session

    with bed as it:
        reused, session = greet()
        assert not reused
        assert greet(session)[0], "else this test shows nothing"
        mounts.trust(NEWCOMERS)
        wait_until("it cannot connect", lambda: outcome(it, mounts, KNOWN) == "UNAVAILABLE")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            greet(session)


def test_an_empty_bundle_keeps_the_old_one(open_to):
    mounts, bed = open_to()
    with bed as it:
        mounts.client_ca.write({"ca.crt": b""})
        wait_until("it is refused", lambda: it.gateway.stat("sds.clients.key_rotation_failed") == 1)
        assert outcome(it, mounts, KNOWN) == "OK"
        assert outcome(it, mounts, STRANGER) == "UNAVAILABLE"
        assert it.gateway.get("/ready", port=it.stack.gateway.ops_port)[0] == 200


BAD_BUNDLES = [(b"", "is empty"), (b"no certificate", "Failed to load trusted CA certificates")]


@pytest.mark.parametrize(("bundle", "reason"), BAD_BUNDLES)
def test_a_gateway_does_not_start_with_a_bad_bundle_and_says_why(open_to, bundle, reason):
    mounts, bed = open_to()
    mounts.client_ca.write({"ca.crt": bundle})
    with pytest.raises(AssertionError, match=f"Envoy ended with 1\n(.*\n)*.*{reason}"), bed:
        pass


def test_only_the_check_at_the_start_keeps_such_a_gateway_from_being_ready(open_to):
    mounts, bed = open_to(without_start_check)
    mounts.client_ca.write({"ca.crt": b""})
    with bed as it:
        assert outcome(it, mounts, KNOWN) == "UNAVAILABLE"
        assert it.gateway.get("/ready", port=it.stack.gateway.ops_port)[0] == 200
