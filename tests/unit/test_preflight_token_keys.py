"""Preflight on key sets: each way in which one can be wrong has one message.

Against recorded answers; tests/envoy/test_token_keys.py shows the same mistake to Envoy.
"""

import base64
from typing import Any

import pytest

from components.cluster.preflight.reader import ClusterReader
from components.cluster.preflight.token_keys import token_keys
from config.problem import Problem
from config.settings import Settings
from tests.envoy.harness.tokens import TokenIssuer
from tests.unit.preflight_api import Api

ISSUER = TokenIssuer("issuer")
SYMMETRIC = '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'


def found(kind: str, content: dict[str, str] | int) -> tuple[list[Problem], int]:
    """Problems with these contents, or with this status, and the number of notes."""
    answer: tuple[int, Any] = (content, {})
    if isinstance(content, dict):
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        answer = (200, {"data": encoded if kind == "secret" else content})
    jwks = {"kind": kind, "name": "keys", "key": "a.json"}
    callers = {"jwt": {"issuers": [ISSUER.config(jwks), TokenIssuer("inline").config()]}}
    settings = Settings.model_validate({"inference": [{"gateway": {"callers": callers}}]})
    reader = ClusterReader(Api({f"/ai-namespace/{kind.lower()}s/keys": answer}))  # pyright: ignore[reportArgumentType]
    problems = list(token_keys(settings, "dev", reader))
    return problems, len(list(reader.unreadable(settings.platform)))


@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_a_good_key_set_passes(kind):
    assert found(kind, {"a.json": ISSUER.jwks}) == ([], 0)


@pytest.mark.parametrize("kind", ["configMap", "secret"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (404, "keys in ai-namespace, and the gateways' pods would wait for it"),
        ({}, "its key a.json is missing"),
        ({"a.json": ""}, "its key a.json is empty"),
        ({"a.json": "junk"}, "it is not JSON"),
        ({"a.json": '{"keys": []}'}, "refuse all tokens of issuer: it has no list"),
    ],
)
def test_each_wrong_key_set_is_refused_with_one_message(kind, content, says):
    ((problem,), unreadable) = found(kind, content)
    assert (problem.severity, unreadable) == ("refuse", 0)
    assert says in problem.reason
    assert problem.fix
    assert "inference[0].gateway.callers.jwt.issuers[0].jwks.name" in problem.keys


def test_a_symmetric_key_is_accepted_in_a_secret_alone():
    assert found("secret", {"a.json": SYMMETRIC}) == ([], 0)
    ((problem,), _) = found("configMap", {"a.json": SYMMETRIC})
    assert "kind secret" in problem.reason


def test_a_user_who_may_not_read_it_gets_a_note():
    assert found("secret", 403) == ([], 1)
