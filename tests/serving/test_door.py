"""A running stack is locked, and its certificate, CA and keys change, without a lost call.

The callers change over as docs/security.md says; certificates and keys are of a local CA and
issuer. kubelet brings the changed Secrets and the ConfigMap to the gateways. Its sync period is
five seconds here, and a minute by default: how long that takes elsewhere is not shown. Nor are
cert-manager, remote key sets, a load balancer in front, and clients other than gRPC's own and the
load client.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import pytest

from bench.overload.burst_process import BurstProcess
from components.gateway.envoy.listener import STAT_PREFIX
from components.gateway.envoy.stats import DOWNSTREAM_REQUESTS, LISTENER_LABEL, selector
from eventflow.fetch import query_range
from ops.stack.environment import PROJECT
from ops.stack.lifecycle import read_settings
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.secrets import pair
from tests.envoy.harness.tokens import AUDIENCE, TokenIssuer, bearer
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout
from tests.printed import rows
from tests.serving.accounts import WINDOW, none_failed
from tests.serving.door import (
    CALLER,
    CALLERS_CA,
    CERTIFICATE,
    ISSUER,
    TOKEN_KEYS,
    Caller,
    Door,
    authority,
)
from tests.serving.steady import Fleet, Held
from tests.serving.test_calls import request

# The first test locks the stack, and may provision it.
pytestmark = pytest.mark.timeout(1200)

REPLICAS = 4
"""Enough of them that the load below is a fraction of what they answer."""

CALLS = 10_000

_SLACK_SECONDS = 60
_SEEN_SECONDS = 120
_CALLS_SECONDS = 300
_QUESTIONS = 500
"""More calls than the tests make beside the load."""

CA = {"kind": "secret", "name": CALLERS_CA}
JWKS = {"kind": "configMap", "name": TOKEN_KEYS}
TOKENS = {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": JWKS}]}
TLS = {"kind": "secret", "secretName": CERTIFICATE}
PERMISSIVE = {
    "tls": {**TLS, "acceptPlaintext": "callers change", "clients": {"ca": CA, "required": False}},
    "callers": {"jwt": {**TOKENS, "required": False}},
}
STRICT = {
    "tls": {**TLS, "clients": {"ca": CA, "names": [CALLER]}},
    "callers": {"jwt": TOKENS},
}


class Locked(NamedTuple):
    """A stack that was locked under load."""

    door: Door
    plain: dict[str, Any]
    """Report of the client in plain text, from before the first step to its end."""
    encrypted: dict[str, Any]
    """Report of the client with certificate and token, until the last step's old pods had gone."""


@contextmanager
def _load(door: Door, name: str, caller: Caller, **how: Any) -> Iterator[BurstProcess]:
    folder = door.folder / name
    folder.mkdir()
    how = {"deadline_seconds": 10.0, "arguments": door.options(caller), **how}
    with BurstProcess.start(door.fleet.address, window=WINDOW, folder=folder, **how) as client:
        yield client


def _step(held: Held, door: Door, gateway: dict[str, Any]) -> None:
    """Apply parameters of the gateway; return when the pods that they replace have gone."""
    old = [f"pod/{pod['metadata']['name']}" for pod in door.gateways()]
    stack = held.at(REPLICAS, **gateway).stack
    timeout = f"--timeout={stack.gateway_grace_seconds + _SLACK_SECONDS}s"
    gone = ("--for=delete", "-n", stack.namespace, timeout, *old)
    door.fleet.checkout.kubectl("wait", *gone).ok()


def _unchanged(fleet: Fleet) -> list[float]:
    """Numbers of callers who have not changed, by the document's queries: connections in plain
    text, those without a certificate, calls without a token."""
    text = (PROJECT / "docs" / "security.md").read_text()
    queries = re.findall(r"^ {7}\S.*\n(?: {9}.*\n)*", text, re.MULTILINE)
    assert len(queries) == 3
    return [_value(fleet, query) for query in queries]


def _calls(fleet: Fleet) -> float:
    """Calls that the gateways have counted."""
    return _value(fleet, f"sum({DOWNSTREAM_REQUESTS}{selector({LISTENER_LABEL: STAT_PREFIX})})")


def _value(fleet: Fleet, query: str) -> float:
    """Return the present value of a query; -1 if Prometheus has none."""
    now = time.time()
    values = query_range(fleet.prometheus, query, now, now, 1).values
    return values[0] if values else -1.0


@pytest.fixture(scope="module")
def locked(served: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """The stack by the document's steps, those for TLS and those for tokens together."""
    fleet = Fleet(served, read_settings(served.env))
    door, held = Door(fleet, tmp_path_factory.mktemp("door")), Held(served)
    door.certify(0)
    door.trust(0)
    caller = door.caller(0, 0)
    try:
        with _load(door, "plain", Caller()) as client:
            _step(held, door, PERMISSIVE)

            def counted() -> bool:
                # Again and again: a counter whose first sample has the call shows no increase.
                assert door.said(Caller(caller.trusts))[0] == 0
                return min(_unchanged(fleet)) > 0

            wait_until("all are counted", counted, _SEEN_SECONDS)
            with _load(door, "encrypted", caller) as changed:
                plain = client.stop()
                wait_until("none is plain", lambda: _unchanged(fleet)[0] == 0, _SEEN_SECONDS)
                _step(held, door, STRICT)
                encrypted = changed.stop()
        yield Locked(door, plain, encrypted)
    finally:
        held.release()
        door.delete()


def test_a_running_stack_is_locked_without_a_lost_call(locked: Locked) -> None:
    """Under a client in plain text until the gateways take TLS, and under one with certificate and
    token from then on; both rollouts replace every gateway."""
    none_failed(locked.plain)
    none_failed(locked.encrypted)


def test_the_right_caller_gets_in_by_make_infer_which_tells_others_their_options(
    locked: Locked,
) -> None:
    door = locked.door
    checkout = door.fleet.checkout
    options = door.options(door.caller(0, 0))
    assert "'hello'" in checkout.ops("infer", "--text", "hello", *options).ok().stdout
    refused = checkout.ops("infer").failed().output
    assert "it speaks TLS; use --tls" in refused
    assert f"--ca <file> --server-name {door.server_name} --cert" in refused
    assert "--token-file <file>" in refused


def test_wrong_callers_and_plain_text_do_not_get_in(locked: Locked) -> None:
    """By code and message of gRPC's own client, and in the load client's words."""
    door = locked.door
    right = door.caller(0, 0)
    foreign = pair(authority(), CALLER)
    unnamed = pair(door.callers[0], "other.example.com")
    other, forger = TokenIssuer("https://other.example.com"), TokenIssuer(ISSUER, "a")
    cases = [
        (right._replace(pair=foreign), "UNAVAILABLE", "", "unknown ca"),
        (right._replace(pair=unnamed), "UNAVAILABLE", "", "it ended the connection"),
        (right._replace(pair=None), "UNAVAILABLE", "", "certificate required"),
        (right._replace(trusts=b"", pair=None), "UNAVAILABLE", "", "it speaks TLS"),
        (right._replace(token=None), "UNAUTHENTICATED", "Jwt is missing", None),
        (
            right._replace(token=other.token()),
            "UNAUTHENTICATED",
            "Jwt issuer is not configured",
            None,
        ),
        (right._replace(token=forger.token()), "UNAUTHENTICATED", "Jwt verification fails", None),
    ]
    for caller, code, message, words in cases:
        found, details = _grpcio(door, caller)
        assert found == code
        assert details.startswith(message)
        exit_code, output = door.said(caller)
        assert exit_code != 0
        assert (words or f"{code}: {message}") in output
    assert _grpcio(door, right)[0] == "OK"


def _grpcio(door: Door, caller: Caller) -> tuple[str, str]:
    """Code and message of one call by gRPC's own client."""
    key, chain = (caller.pair["tls.key"], caller.pair["tls.crt"]) if caller.pair else (None, None)
    name = {"ssl_target_name_override": door.server_name} if caller.trusts else {}
    secure = grpc.ssl_channel_credentials(caller.trusts, key, chain) if caller.trusts else None
    client = GrpcClient(door.fleet.port, credentials=secure, **name)
    try:
        how = bearer(caller.token) if caller.token else {}
        end = client.call(payload=request("x"), **how)
    finally:
        client.channel.close()
    return end.code.name, end.details


def test_status_shows_for_how_long_the_certificate_is_valid(locked: Locked) -> None:
    found = rows(locked.door.fleet.checkout.ops("status", "--once").ok().stdout)
    assert float(found["certificate expires in"][0].split()[0]) > 1


def test_certificate_authority_and_key_change_without_a_lost_call(locked: Locked) -> None:
    """The new beside the old, then the new alone; the gateways' own authority changes, too.

    Each gateway is asked past the Service. The token of each question is new: a gateway remembers
    those that it has verified.
    """
    door = locked.door
    pods = {pod["metadata"]["uid"] for pod in door.gateways()}

    def each_says(words: str, caller: Callable[[], Caller]) -> None:
        def said() -> bool:
            found.append(door.at_each_gateway(caller()))
            return all(words in output for output in found[-1])

        found: list[list[str]] = []
        wait_until(f"each gateway: {words}", said, _SEEN_SECONDS)

    began = _calls(door.fleet)
    with _load(door, "old", door.caller(0, 0, 1)) as old:
        door.trust(0, 1)
        door.certify(1)
        each_says("answered in", lambda: door.caller(1, 1))
        with _load(door, "new", door.caller(1, 1)) as new:
            before = old.stop()
            door.trust(1)
            each_says("unknown ca", lambda: door.caller(0, 1))
            each_says(
                "Jwks doesn't have key to match kid",
                lambda: door.caller(1, 1)._replace(token=door.keys[0].token()),
            )
            enough = CALLS + _QUESTIONS
            wait_until("as many calls", lambda: _calls(door.fleet) - began > enough, _CALLS_SECONDS)
            after = new.stop()
    none_failed(before)
    none_failed(after)
    assert before["calls"] + after["calls"] >= CALLS
    assert {pod["metadata"]["uid"] for pod in door.gateways()} == pods
    assert door.said(door.caller(1, 1))[0] == 0
