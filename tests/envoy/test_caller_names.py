"""The caller's name: where it comes from, and that no caller can state it.

A replica gets the name of each call in a header, which the shipped bootstrap prevents.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import trustme

from components.gateway.envoy.filters.callers import caller_name
from components.gateway.envoy.protojson import Json
from config.sections.gateway_callers import ANONYMOUS, CALLER_HEADER
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, open_bed, unchanged
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.secrets import NAME, TLS, Mounts, pair, with_uri
from tests.envoy.harness.tokens import TokenIssuer

CALLERS = trustme.CA(key_type=trustme.KeyType.ECDSA)
BY_DNS = pair(CALLERS, "orchestrator.example.com")
BY_URI = with_uri(CALLERS, "spiffe://example.com/batch")
BY_TWO = pair(CALLERS, "a.example.com", "b.example.com")
ISSUER = TokenIssuer("issuer")
FORGED = ((CALLER_HEADER, "somebody-else"), (CALLER_HEADER, "another"))


def exposed(config: Json) -> None:
    """Let replicas see the name."""
    for chain in config["static_resources"]["listeners"][0]["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        (host,) = manager["route_config"]["virtual_hosts"]
        header = {"key": CALLER_HEADER, "value": caller_name()}
        # Envoy removes headers before it adds others.
        host["request_headers_to_add"] = [{"header": header}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mounts, Bed]]:
    """A gateway that takes tokens and certificates, and requires neither."""
    folder = tmp_path_factory.mktemp("names")
    clients = {"ca": {"kind": "secret", "name": "callers"}, "required": False}
    mounts = Mounts(
        folder / "mounts", {**TLS, "clients": clients, "acceptPlaintext": "callers change"}
    )
    mounts.trust(CALLERS)

    def edit(config: Json) -> None:
        mounts.edit(config)
        exposed(config)

    options = {
        "tls": mounts.options,
        "callers": {"jwt": {"issuers": [ISSUER.config()], "required": False}},
    }
    with open_bed(folder, replicas=1, gateway=options, edit=edit) as bed:
        yield mounts, bed


@contextmanager
def client(mounts: Mounts, bed: Bed, own: dict[str, bytes] | None) -> Iterator[GrpcClient]:
    if own is None:
        with GrpcClient(bed.gateway.port) as plain:
            yield plain
        return
    credentials = grpc.ssl_channel_credentials(mounts.ca, own["tls.key"], own["tls.crt"])
    name = {"ssl_target_name_override": NAME}
    with GrpcClient(bed.gateway.port, credentials=credentials, **name) as encrypted:
        yield encrypted


def seen(bed: Bed) -> list[str]:
    """Names that the replica got with its last call."""
    metadata = bed.fleet.replicas[0].metadata
    return [value for name, value in metadata if name == CALLER_HEADER]


@pytest.mark.parametrize(
    ("own", "claims", "name"),
    [
        (None, None, ANONYMOUS),
        (None, {}, "orchestrator"),
        (None, {"sub": None}, ANONYMOUS),
        (BY_DNS, None, "orchestrator.example.com"),
        (BY_URI, None, "spiffe://example.com/batch"),
        (BY_TWO, None, "a.example.com,b.example.com"),
        (BY_DNS, {"sub": "of-the-token"}, "of-the-token"),
        (BY_DNS, {"sub": None}, "orchestrator.example.com"),
    ],
)
@pytest.mark.parametrize("forged", [(), FORGED])
def test_a_callers_name_is_its_tokens_or_else_its_certificates(gateway, own, claims, name, forged):
    mounts, bed = gateway
    token = () if claims is None else (("authorization", f"Bearer {ISSUER.token(**claims)}"),)
    with client(mounts, bed, own) as caller:
        assert caller.call(metadata=(*forged, *token)).code.name == "OK"
    assert seen(bed) == [name]


def test_a_token_that_is_not_valid_gives_no_name_even_where_none_is_required(gateway):
    mounts, bed = gateway
    with client(mounts, bed, BY_DNS) as caller:
        end = caller.call(metadata=(("authorization", "Bearer garbled"),))
    assert end.code.name == "UNAUTHENTICATED"


def forgeable(config: Json) -> None:
    exposed(config)
    del parts.manager(config)["early_header_mutation_extensions"]


def nameless(config: Json) -> None:
    exposed(config)
    del parts.listener(config)["metadata"]


def handed_on(config: Json) -> None:
    del parts.manager(config)["early_header_mutation_extensions"]
    parts.virtual_host(config)["request_headers_to_remove"].remove(CALLER_HEADER)


@pytest.mark.parametrize(
    ("edit", "names"),
    [
        (unchanged, []),
        (exposed, [ANONYMOUS]),
        (forgeable, [FORGED[0][1]]),
        (nameless, ["-"]),
        (handed_on, [value for _, value in FORGED]),
    ],
)
def test_replicas_get_no_name_and_callers_state_none(
    bed: Callable[..., Any], edit: Callable[[Json], None], names: list[str]
):
    with bed(replicas=1, gateway={"callers": {}}, edit=edit) as it:
        with GrpcClient(it.gateway.port) as caller:
            assert caller.call(metadata=FORGED).code.name == "OK"
        assert seen(it) == names
