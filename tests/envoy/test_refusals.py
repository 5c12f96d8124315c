"""Each refusal by the gateway itself, as grpcio and grpc-go see it: the table of docs/refusals.md.

Not shown: clients of other languages.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from bench.rivals.bed import program
from ops.stack.environment import PROJECT
from tests.envoy.harness import gates
from tests.envoy.harness.attempt import CLIENTS, Answer, Attempt, Way, by_grpcio
from tests.envoy.harness.backend import STREAM
from tests.envoy.harness.gates import GOOD, ISSUER, KEYLESS, LIMIT_KIB, LIMITED, Gate
from tests.envoy.harness.tokens import TokenIssuer
from tests.envoy.harness.waiting import wait_until
from tests.envoy.test_limits import PENDING, STREAMS

DOCUMENT = "docs/refusals.md"
IMPOSTOR = TokenIssuer(ISSUER.name)
PAST = int(time.time()) - 3600


@dataclass(frozen=True)
class Refusal:
    """A row of the table."""

    code: str
    message: str
    """Begin of the gateway's message; empty if the client has its own."""
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A call that the gateway refuses."""

    attempt: Attempt = GOOD
    way: Callable[[Way], Way] = lambda way: way
    during: Callable[[Gate], AbstractContextManager[object]] = lambda _: nullcontext()
    """State of the gateway meanwhile."""
    races: bool = False
    """True if the client's own clock may be first."""


def table() -> dict[str, Refusal]:
    """Read the table of the document."""
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| (.+?) \| (.+?) \|", document(), re.MULTILINE)
    return {
        name: Refusal(code, "" if message == "-" else message.strip("`"), _marks(marks))
        for name, code, message, marks in rows
    }


def document() -> str:
    return (PROJECT / DOCUMENT).read_text()


def _marks(cell: str) -> tuple[str, ...]:
    return () if cell == "-" else (cell.strip("`"),)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Build grpc-go's client first: its build outlasts the calls by which a gateway refuses."""
    program()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates.open_locked(tmp_path_factory.mktemp("locked")) as gate:
        yield gate


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates.open_plain(tmp_path_factory.mktemp("plain")) as gate:
        yield gate


IN_QUEUE = partial(gates.full, places=(2 * STREAMS, PENDING))
LOCKED = {
    "caller's queue full (fair shares)": Case(during=IN_QUEUE),
    "caller's rate limit": Case(LIMITED, during=gates.limited),
    "no token": Case(Attempt()),
    "token expired": Case(Attempt(token=ISSUER.token(exp=PAST))),
    "token of an unknown key": Case(Attempt(token=IMPOSTOR.token())),
    "token of an unknown issuer": Case(Attempt(token=ISSUER.token(iss="another"))),
    "issuer without keys": Case(Attempt(token=KEYLESS.token())),
    "token for another audience": Case(Attempt(token=ISSUER.token(aud="another"))),
    "unknown method": Case(replace(GOOD, method="/another/Method")),
    "request too large": Case(replace(GOOD, size=4 * LIMIT_KIB * 1024)),
    "headers too large": Case(replace(GOOD, metadata=(("large", "x" * 40_000),))),
    "deadline over on arrival": Case(replace(GOOD, deadline_seconds=0.045), races=True),
    "deadline": Case(replace(GOOD, deadline_seconds=1), during=gates.stuck, races=True),
    "silent stream": Case(replace(GOOD, method=STREAM), during=gates.slow),
    "no healthy replica": Case(during=gates.sick),
    "gateway out of memory": Case(during=gates.out_of_memory),
    "too many connections": Case(during=gates.connected),
    "client without a certificate": Case(way=lambda way: replace(way, pair=None)),
    "client's certificate of an unknown CA": Case(
        way=lambda way: replace(way, pair=gates.stranger(way.authority))
    ),
    "plain text to a gateway with TLS": Case(way=lambda way: Way(way.port)),
}
PLAIN = {
    "gateway full": Case(during=partial(gates.full, places=(STREAMS, 0))),
    "no replica accepts a connection": Case(during=gates.gone),
    "connection to the replica lost": Case(during=gates.dying),
}
ENDED = "gateway that has stopped"


def check(name: str, gate: Gate, case: Case) -> None:
    """Make the call with each client, and compare its end with the table."""
    stated, answers = table()[name], list[Answer]()
    for client in CLIENTS.values():
        make = partial(client, case.way(gate.way), case.attempt)
        answer = wait_until("the gateway is first", partial(signed, make)) if case.races else make()
        assert answer.code == stated.code
        assert answer.by_gateway == bool(stated.message)
        assert answer.message.startswith(stated.message)
        marks = {"x-envoy-overloaded", "x-envoy-ratelimited"} & answer.metadata.keys()
        assert tuple(f"{mark}: {answer.metadata[mark]}" for mark in marks) == stated.metadata
        answers.append(answer)
    if stated.message:
        assert len({answer.message for answer in answers}) == 1


def signed(make: Callable[[], Answer]) -> Answer | None:
    answer = make()
    return answer if answer.by_gateway else None


@pytest.mark.parametrize("name", LOCKED)
def test_both_clients_see_each_refusal_of_a_locked_gateway_as_stated(locked: Gate, name: str):
    case = LOCKED[name]
    with case.during(locked):
        check(name, locked, case)
    assert by_grpcio(locked.way, GOOD).code == "OK"


@pytest.mark.parametrize("name", PLAIN)
def test_both_clients_see_each_refusal_of_a_plain_gateway_as_stated(plain: Gate, name: str):
    case = PLAIN[name]
    with case.during(plain):
        check(name, plain, case)
    wait_until("it serves again", lambda: by_grpcio(plain.way, GOOD).code == "OK")


def test_a_gateway_that_drains_refuses_no_call_before_it_has_stopped(bed, tmp_path: Path):
    with bed(replicas=1) as it:
        gate = Gate(it, Way(it.gateway.port), tmp_path)
        it.gateway.get("/healthcheck/fail", "POST")
        it.gateway.get("/drain_listeners?inboundonly&graceful&skip_exit", "POST")
        assert {client(gate.way, GOOD).code for client in CLIENTS.values()} == {"OK"}
        it.gateway.get("/drain_listeners?inboundonly", "POST")
        check(ENDED, gate, Case())


def test_the_document_lists_the_refusals_that_are_tested():
    assert {*table()} == {*LOCKED, *PLAIN, ENDED}
