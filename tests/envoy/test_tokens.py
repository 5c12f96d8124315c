"""Tokens: whose calls get in, the answers to all others, and that no replica gets a token."""

import time
from typing import Any

import grpc
import pytest

from components.gateway.envoy.filters.jwt import HEALTH_SERVICE, JWT
from components.gateway.envoy.protojson import Json
from tests.envoy.harness import parts
from tests.envoy.harness.backend import INFER
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.tokens import TokenIssuer, bearer

FIRST, SECOND = TokenIssuer("https://first.example.com"), TokenIssuer("second")
STRANGER = TokenIssuer(FIRST.name)
"""Another key under the first's name."""

UNAUTHENTICATED, PERMISSION_DENIED = "UNAUTHENTICATED", "PERMISSION_DENIED"


def with_tokens(**jwt: Any) -> dict[str, Any]:
    return {"callers": {"jwt": {"issuers": [FIRST.config(), SECOND.config()], **jwt}}}


PAST = int(time.time()) - 3600
REFUSED = [
    ({}, UNAUTHENTICATED, "Jwt is missing"),
    (bearer(FIRST.token(exp=PAST)), UNAUTHENTICATED, "Jwt is expired"),
    (bearer(FIRST.token(nbf=PAST + 7200)), UNAUTHENTICATED, "Jwt not yet valid"),
    (bearer(FIRST.token(exp=None)), UNAUTHENTICATED, "Jwt verification fails"),
    (bearer(FIRST.token(exp=PAST + 90_000_000)), UNAUTHENTICATED, "Jwt verification fails"),
    (bearer(STRANGER.token()), UNAUTHENTICATED, "Jwt verification fails"),
    (bearer(FIRST.token(iss="third")), UNAUTHENTICATED, "Jwt issuer is not configured"),
    (bearer("garbled"), UNAUTHENTICATED, "Jwt is not in the form of"),
    (bearer(FIRST.token(aud="another")), PERMISSION_DENIED, "Audiences in Jwt are not allowed"),
]


def test_only_calls_with_a_valid_token_get_in(bed):
    with bed(replicas=1, gateway=with_tokens()) as it, GrpcClient(it.gateway.port) as client:
        for how, code, details in REFUSED:
            end = client.call(**how)
            assert (end.code.name, end.details[: len(details)]) == (code, details)
        replica = it.fleet.replicas[0]
        assert replica.calls == 0
        for issuer in (FIRST, SECOND):
            assert client.call(**bearer(issuer.token())).code.name == "OK"
        assert "authorization" not in dict(replica.metadata)
        in_query = client.channel.unary_unary(f"{INFER}?access_token={FIRST.token()}")
        health = client.channel.unary_unary(f"/{HEALTH_SERVICE}/Check")
        # The health service is open; gRPC's clients take UNIMPLEMENTED for a live server.
        for method, code in ((in_query, UNAUTHENTICATED), (health, "UNIMPLEMENTED")):
            with pytest.raises(grpc.RpcError) as answer:
                method(b"", timeout=10)
            assert answer.value.code().name == code


def provider(config: Json) -> Json:
    return tokens(config)["providers"]["issuer-0"]


def tokens(config: Json) -> Json:
    (found,) = [each for each in parts.manager(config)["http_filters"] if each["name"] == JWT.name]
    return found["typed_config"]


def without_audiences(config: Json) -> None:
    del provider(config)["audiences"]


def without_issuer(config: Json) -> None:
    del provider(config)["issuer"]


def without_lifetime(config: Json) -> None:
    del provider(config)["max_lifetime"]


def without_rules(config: Json) -> None:
    del tokens(config)["rules"]


@pytest.mark.parametrize(
    ("edit", "opened"),
    [
        (without_audiences, [8]),
        (without_issuer, [6]),
        (without_lifetime, [3, 4]),
        (without_rules, range(len(REFUSED))),
    ],
)
def test_each_setting_keeps_its_tokens_out(bed, edit, opened):
    with (
        bed(replicas=1, gateway=with_tokens(), edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        got_in = [n for n, (how, *_) in enumerate(REFUSED) if client.call(**how).code.name == "OK"]
    assert got_in == list(opened)


def test_while_tokens_are_not_required_calls_without_one_get_in_and_are_counted(bed):
    with (
        bed(replicas=1, gateway=with_tokens(required=False)) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        assert set(codes(client.calls(3))) == {"OK"}
        assert client.call(**bearer(FIRST.token())).code.name == "OK"
        assert client.call(**bearer(STRANGER.token())).code.name == UNAUTHENTICATED
        client.channel.unary_unary(f"/{HEALTH_SERVICE}/Check").future(b"").exception(10)
        # By this counter operators see whether anyone still calls without a token.
        assert it.gateway.downstream_stat("rbac.without_token.shadow_denied") == 3
