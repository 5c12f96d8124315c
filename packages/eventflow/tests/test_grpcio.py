"""grpcio on either side: this client against grpcio's server, and the engine on grpcio's client."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from eventflow.call import Call
from eventflow.grpcio_engine import GrpcioEngine
from eventflow.http2 import frames as h2
from eventflow.kserve import grpc_message
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.load_generator import Plan
from eventflow.outcomes import Outcome, Verdict
from eventflow.run import Burst, EngineName, Run, run_burst
from eventflow.target import MODEL_INFER, Target
from hostile_server import Peer, breaker, end, hang, hostile, ok, serving

PLEASE_SLEEP, PLEASE_FAIL, PLEASE_ABORT = b"sleep", b"fail", b"abort"


class Echo(grpc.GenericRpcHandler):
    """A server that echoes requests, unless the request asks for another answer."""

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method != MODEL_INFER:
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: Any) -> bytes:
        if request == PLEASE_SLEEP:
            time.sleep(0.5)
        if request == PLEASE_FAIL:
            raise ValueError("as told")
        if request == PLEASE_ABORT:
            context.set_trailing_metadata((("x-envoy-overloaded", "true"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "full: ä%")
        context.set_trailing_metadata((("x-pod", "pod-1"),))
        return request


def against_grpcio(
    message: bytes,
    calls: int,
    load: Load = MaxThroughput(),  # noqa: B008
    *,
    deadline: float = 20.0,
    method: str = MODEL_INFER,
    **options: Any,
) -> Run:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        work = Burst(
            target=Target(host="127.0.0.1", port=port, method=method),
            plan=Plan(load=load, calls=calls, deadline_seconds=deadline),
            message=grpc_message(message),
            **options,
        )
        return asyncio.run(run_burst(work))
    finally:
        server.stop(None).wait()


ENGINES = pytest.mark.parametrize("engine", ["fast", "grpcio"])


@ENGINES
@pytest.mark.parametrize("size", [0, 64, 300_000])
def test_a_grpc_server_answers_requests_of_every_size(engine: EngineName, size: int) -> None:
    run = against_grpcio(bytes(size), 50, ClosedLoop(10), engine=engine, pod_header="x-pod")
    assert run.ledger.counts == {Outcome.OK: 50}
    assert run.ledger.pods == ({"pod-1": 50} if engine == "fast" else {"not named": 50})
    assert len(run.records) == 1
    assert not run.records[0].killed


@ENGINES
@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (PLEASE_FAIL, (Outcome.OTHER, "UNKNOWN"), "as told"),
        (PLEASE_ABORT, (Outcome.BREAKER, "x-envoy-overloaded"), "full: ä%"),
    ],
)
def test_errors_of_a_grpc_server_are_reported_with_its_message(
    engine: EngineName, message: bytes, kind: tuple[Outcome, str], words: str
) -> None:
    run = against_grpcio(message, 20, engine=engine)
    assert run.ledger.details == {kind: 20}
    assert words in run.ledger.samples[kind]


@ENGINES
def test_a_method_unknown_to_the_grpc_server_is_unimplemented(engine: EngineName) -> None:
    run = against_grpcio(b"", 5, engine=engine, method="/a.B/C")
    assert run.ledger.details == {(Outcome.OTHER, "UNIMPLEMENTED"): 5}


@ENGINES
def test_calls_to_a_slow_grpc_server_end_at_their_deadline(engine: EngineName) -> None:
    run = against_grpcio(PLEASE_SLEEP, 12, deadline=0.2, engine=engine)
    assert run.ledger.counts == {Outcome.DEADLINE: 12}


def in_grpcio_account(
    behave: Callable[[Peer], Awaitable[None]],
    calls: int,
    *,
    load: Load = OpenLoop(500),  # noqa: B008
    deadline: float = 20.0,
) -> Run:
    async def main() -> Run:
        async with hostile(behave) as server:
            work = Burst(
                target=Target(host="127.0.0.1", port=server.port),
                plan=Plan(load=load, calls=calls, deadline_seconds=deadline),
                message=grpc_message(b""),
                engine="grpcio",
            )
            return await run_burst(work)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ok, Outcome.OK),
        (breaker, Outcome.BREAKER),
        (lambda s: end(s, 14, "no healthy upstream"), Outcome.NO_UPSTREAM),
        (lambda s: end(s, 14, "upstream request timeout"), Outcome.REFUSED),
        (lambda s: end(s, 4, "late"), Outcome.DEADLINE),
        (lambda s: end(s, 1), Outcome.CANCELLED),
        (lambda s: end(s, 5), Outcome.OTHER),
    ],
)
def test_both_engines_classify_the_same_responses_alike(answer, outcome: Outcome) -> None:
    run = in_grpcio_account(serving(lambda peer, s: peer.reply(s, answer(s))), 20)
    assert run.ledger.counts == {outcome: 20}


def test_grpcios_own_deadlines_are_accounted_for() -> None:
    run = in_grpcio_account(serving(hang), 20, deadline=0.2)
    assert run.ledger.counts == {Outcome.DEADLINE: 20}


def test_grpcio_attributes_lost_calls_to_the_connection_that_was_cut() -> None:
    """A closed loop, because a late open loop may send all calls before the cut."""

    def cut_at_the_tenth(peer: Peer, stream: int) -> None:
        if peer.number == 0 and len(peer.open_now) == 10:
            peer.abort()
        elif peer.number > 0:
            peer.reply(stream, ok(stream))

    run = in_grpcio_account(serving(cut_at_the_tenth), 30, load=ClosedLoop(10))
    assert set(run.ledger.counts) == {Outcome.OK, Outcome.CONNECTION_LOST}
    assert run.records[0].killed
    assert run.records[0].calls_lost == run.ledger.counts[Outcome.CONNECTION_LOST]


def test_grpcio_does_not_count_a_drained_connection_as_killed() -> None:
    async def drain_at_the_fifth(peer: Peer) -> None:
        await peer.greet()
        async for stream in peer.requests():
            if peer.number == 0 and stream == 9:
                peer.send(h2.goaway(stream, h2.ErrorCode.NO_ERROR))
                await peer.heard()
            peer.reply(stream, ok(stream))

    run = in_grpcio_account(drain_at_the_fifth, 10, load=ClosedLoop(1))
    assert run.ledger.counts == {Outcome.OK: 10}
    assert len(run.records) == 2
    assert [record.killed for record in run.records] == [False, False]


def test_a_call_given_up_before_grpcio_took_it_makes_room_for_others() -> None:
    async def main() -> None:
        async with hostile(serving(hang)) as server:
            engine = GrpcioEngine(Target(host="127.0.0.1", port=server.port))
            await engine.connect()
            room: list[bool] = []
            engine.room_listeners.append(lambda: room.append(engine.writable))
            now = time.monotonic()
            call = Call(0, grpc_message(b""), now, now + 20.0, lambda _: None)

            engine.submit(call)
            assert not engine.writable
            engine.give_up(call, Verdict(Outcome.CANCELLED, ""))
            assert room == [True]

            await engine.close()
            assert call.attempts == 0

    asyncio.run(main())
