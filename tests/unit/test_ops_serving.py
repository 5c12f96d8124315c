"""Gateways that are taken to serve, and the options of callers.

Real calls go to a server that answers as it is told.
"""

from typing import Any

import pytest

from config.load import parse
from config.settings import Settings
from hostile_server import breaker, end, hostile_thread, ok, serving
from ops.errors import OpsError
from ops.stack import serving as serving_stack
from ops.stack.environment import StackEnvironment
from ops.stack.serving import answers, caller_options

NO_ENV = StackEnvironment(stack="none")


@pytest.mark.parametrize(
    ("reply", "serves"),
    [
        (ok, True),
        # Of the user's own models there need not be one that takes the sample's call.
        (lambda stream: end(stream, 5, "Request for unknown model: 'echo' is not found"), True),
        (lambda stream: end(stream, 3, "unexpected inference input 'INPUT0'"), True),
        (lambda stream: end(stream, 14, "no healthy upstream"), False),
        (lambda stream: end(stream, 14, "upstream connect error"), False),
        (breaker, False),
    ],
    ids=["ok", "no such model", "no such tensor", "no replica", "refused", "breaker"],
)
def test_a_model_servers_own_no_is_an_answer_and_the_gateways_is_not(reply, serves):
    with hostile_thread(serving(lambda peer, stream: peer.reply(stream, reply(stream)))) as server:
        assert answers(f"127.0.0.1:{server.port}") is serves


def test_nothing_that_listens_is_no_answer():
    assert not answers("127.0.0.1:1")


def settings(**gateway: Any) -> Settings:
    return parse({"inference": [{"gateway": gateway}]}, source="test")


TLS: dict[str, Any] = {"kind": "secret", "secretName": "gateway-tls"}
CLIENTS = {"ca": {"kind": "secret", "name": "callers-ca"}}
ISSUERS = [
    {
        "issuer": "https://issuer.example.com",
        "audiences": ["inference"],
        "jwks": {"kind": "configMap", "name": "keys"},
    }
]
NAMED = "--ca <file> --server-name envoy-gateway.ai-namespace.svc.cluster.local"


@pytest.mark.parametrize(
    ("gateway", "options"),
    [
        ({}, ""),
        ({"tls": TLS}, NAMED),
        (
            {"tls": {**TLS, "serverName": "a.example.com"}},
            "--ca <file> --server-name a.example.com",
        ),
        ({"tls": {**TLS, "acceptPlaintext": "until May"}}, ""),
        ({"tls": {**TLS, "clients": CLIENTS}}, f"{NAMED} --cert <file> --key <file>"),
        ({"tls": {**TLS, "clients": {**CLIENTS, "required": False}}}, NAMED),
        ({"callers": {"jwt": {"issuers": ISSUERS}}}, "--token-file <file>"),
        ({"callers": {"jwt": {"issuers": ISSUERS, "required": False}}}, ""),
        ({"callers": {}}, ""),
    ],
)
def test_callers_are_told_the_options_that_their_gateway_demands(gateway, options):
    assert caller_options(settings(**gateway)) == options


def test_where_callers_need_credentials_up_sends_no_call_and_does_not_wait_for_one(monkeypatch):
    said: list[str] = []
    locked = settings(callers={"jwt": {"issuers": ISSUERS}})
    # Neither needs the environment: nothing is asked of a gateway.
    serving_stack.wait_for_gateway(NO_ENV, locked, said.append)
    serving_stack.infer_or_say(NO_ENV, locked, said.append)
    assert said == ["No call was sent: callers of this gateway need certificates or tokens."]
    monkeypatch.setattr(serving_stack, "gateway_address", lambda _: "127.0.0.1:8080")
    monkeypatch.setattr(serving_stack, "prometheus_address", lambda _: "127.0.0.1:9090")
    shown = serving_stack.next_step(NO_ENV, locked)
    assert "make infer ARGS='--token-file <file>'\n" in shown
    assert "burst 127.0.0.1:8080 --token-file <file>\n" in shown


def test_a_call_without_an_answer_names_the_options_of_callers(monkeypatch):
    monkeypatch.setattr(serving_stack, "gateway_address", lambda _: "127.0.0.1:1")
    with pytest.raises(OpsError, match=f"callers need: make infer ARGS='{NAMED}'; show"):
        serving_stack.infer(NO_ENV, settings(tls=TLS))
    with pytest.raises(OpsError, match="got no answer; show the stack"):
        serving_stack.infer(NO_ENV, settings())
