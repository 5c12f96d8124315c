"""Calls from code: pacing, deadlines, and retries of unprocessed calls only."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from eventflow import Client, EventFlowError, Outcome, Request, Result, Retry, Tensor, infer_many
from eventflow.http2 import frames as h2
from eventflow.kserve import grpc_message
from eventflow.load import ClosedLoop, OpenLoop
from hostile_server import WIDE, Peer, begin, breaker, end, hang, hostile, ok, serving

REQUEST = Request("echo", (Tensor.of_strings("INPUT", ["hello"]),), request_id="7")
QUICK = Retry(first_backoff_seconds=0.001, longest_backoff_seconds=0.01)


class Counted:
    """Answers each call by the number of its attempt; the last answer repeats."""

    def __init__(self, *answers: Callable[[int], bytes]) -> None:
        self._answers = answers
        self.tries = 0

    def __call__(self, peer: Peer, stream: int) -> None:
        answer = self._answers[min(self.tries, len(self._answers) - 1)]
        self.tries += 1
        peer.reply(stream, answer(stream))


def one_call(
    behave: Callable[[Peer], Awaitable[None]], retry: Retry | None = QUICK, **options: float
) -> Result:
    async def main() -> Result:
        async with (
            hostile(behave) as server,
            Client(f"127.0.0.1:{server.port}", retry=retry, **options) as client,
        ):
            return await client.infer(REQUEST)

    return asyncio.run(main())


def test_a_response_is_returned_as_tensors() -> None:
    # model_name "echo", id "7", one output OUT of BYTES 1 with raw contents "hi"
    message = (
        b"\x0a\x04echo\x1a\x017\x2a\x0f\x0a\x03OUT\x12\x05BYTES\x1a\x01\x01\x32\x06\x02\0\0\0hi"
    )
    result = one_call(serving(lambda peer, s: peer.reply(s, ok(s, grpc_message(message)))))

    assert result.ok
    assert result.response is not None
    assert result.response.request_id == "7"
    assert result.response.outputs == (Tensor("OUT", "BYTES", (1,), b"\x02\0\0\0hi"),)
    assert result.response.outputs[0].strings() == [b"hi"]
    assert result.attempts == 1


def test_an_invalid_response_is_an_error_outcome_and_not_an_exception() -> None:
    result = one_call(serving(lambda peer, s: peer.reply(s, ok(s, grpc_message(b"\xff")))))
    assert (result.outcome, result.detail) == (Outcome.OTHER, "INTERNAL")
    assert "not a ModelInferResponse" in result.message


@pytest.mark.parametrize(
    "refusal",
    [
        breaker,
        lambda s: end(s, 14, "no healthy upstream"),
        lambda s: h2.rst_stream(s, h2.ErrorCode.REFUSED_STREAM),
        # The partial response of an earlier attempt must be discarded.
        lambda s: (
            begin(s)
            + h2.frame(h2.DATA, 0, s, b"junk")
            + end(s, 14, "", ("x-envoy-overloaded", "true"))
        ),
    ],
)
def test_calls_that_reached_no_replica_are_retried(refusal: Callable[[int], bytes]) -> None:
    answers = Counted(refusal, refusal, ok)
    result = one_call(serving(answers))
    assert result.response is not None
    assert result.response.model_name == "echo"
    assert answers.tries == result.attempts == 3


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (lambda s: end(s, 14, "upstream request timeout"), Outcome.REFUSED),
        (lambda s: end(s, 14, "Exceeds maximum queue size"), Outcome.REFUSED),
        (lambda s: end(s, 14, "reset reason: connection termination"), Outcome.REFUSED),
        (lambda s: end(s, 13, "broken"), Outcome.OTHER),
        (lambda s: end(s, 4, "late"), Outcome.DEADLINE),
        (lambda s: h2.rst_stream(s, h2.ErrorCode.INTERNAL_ERROR), Outcome.OTHER),
    ],
)
def test_calls_that_a_replica_may_have_seen_are_never_retried(answer, outcome: Outcome) -> None:
    answers = Counted(answer)
    assert one_call(serving(answers)).outcome is outcome
    assert answers.tries == 1


def test_calls_lost_with_a_connection_are_not_retried() -> None:
    async def die(peer: Peer) -> None:
        await peer.greet()
        async for _ in peer.requests():
            peer.abort()

    result = one_call(die)
    assert (result.outcome, result.attempts) == (Outcome.CONNECTION_LOST, 1)


def test_a_call_is_retried_no_more_often_than_the_policy_allows() -> None:
    answers = Counted(breaker)
    policy = Retry(attempts=2, first_backoff_seconds=0.001)
    result = one_call(serving(answers), retry=policy)
    assert (result.outcome, answers.tries) == (Outcome.BREAKER, 3)

    answers = Counted(breaker)
    assert one_call(serving(answers), retry=None).outcome is Outcome.BREAKER
    assert answers.tries == 1


def test_no_retry_begins_after_the_deadline() -> None:
    answers = Counted(breaker)
    slow = Retry(attempts=100, first_backoff_seconds=5.0, longest_backoff_seconds=5.0)
    result = one_call(serving(answers), retry=slow, deadline_seconds=0.05)
    assert result.outcome is Outcome.BREAKER
    assert result.latency_seconds < 5.0
    assert answers.tries < 100


def test_retries_of_an_overloaded_gateway_stay_within_their_budget() -> None:
    answers = Counted(breaker)

    async def main() -> list[Result]:
        async with hostile(serving(answers)) as server:
            policy = Retry(budget_start=5, budget_share=0.1, first_backoff_seconds=0.001)
            endpoint = f"127.0.0.1:{server.port}"
            return await infer_many(endpoint, [REQUEST] * 200, load=ClosedLoop(20), retry=policy)

    results = asyncio.run(main())

    assert Counter(result.outcome for result in results) == {Outcome.BREAKER: 200}
    assert answers.tries <= 200 + 5 + 200 * 0.1


def test_results_are_in_the_order_of_their_requests() -> None:
    requests = [Request("m", (Tensor.of_strings("INPUT", [str(number)]),)) for number in range(100)]

    async def behave(peer: Peer) -> None:
        await peer.greet()
        waiting: list[tuple[int, bytes]] = []
        async for stream in peer.requests():
            body = b"".join(f.payload for f in peer.frames_seen if f.stream_id == stream)
            number = body[body.rindex(b"\0") + 1 :]
            waiting.append((stream, number))
            if len(waiting) == 10:  # as many as are in flight, answered in reverse order
                for waiting_stream, text in reversed(waiting):
                    message = b"\x1a" + bytes([len(text)]) + text
                    peer.reply(waiting_stream, ok(waiting_stream, grpc_message(message)))
                waiting.clear()

    async def main() -> list[Result]:
        async with hostile(behave) as server:
            return await infer_many(f"127.0.0.1:{server.port}", requests, load=ClosedLoop(10))

    results = asyncio.run(main())

    assert [r.response.request_id for r in results if r.response] == [str(n) for n in range(100)]


def test_one_connection_serves_concurrent_calls() -> None:
    async def main() -> tuple[list[Result], int]:
        async with (
            hostile(serving(lambda peer, s: peer.reply(s, ok(s)))) as server,
            Client(f"127.0.0.1:{server.port}") as client,
        ):
            single = asyncio.gather(*(client.infer(REQUEST) for _ in range(20)))
            many = client.infer_many([REQUEST] * 30, load=OpenLoop(1000))
            results = [*await single, *await many]
            assert len(client.connections) == 1
            return results, len(server.peers)

    results, connections = asyncio.run(main())
    assert connections == 1
    assert all(result.ok for result in results)
    assert len(results) == 50


def test_calls_end_at_their_own_deadlines() -> None:
    async def main() -> list[Outcome]:
        async with (
            hostile(serving(hang)) as server,
            Client(f"127.0.0.1:{server.port}") as client,
        ):
            patient = asyncio.create_task(client.infer(REQUEST, deadline_seconds=1000))
            await asyncio.sleep(0)
            results = [
                await client.infer(REQUEST, deadline_seconds=deadline)
                for deadline in (0.1, 0.05, 0.2)
            ]
            both = (client.infer(REQUEST, deadline_seconds=deadline) for deadline in (0.1, 0.2))
            results += await asyncio.gather(*both)
            patient.cancel()
            return [result.outcome for result in results]

    assert asyncio.run(main()) == [Outcome.DEADLINE] * 5


def test_streams_freed_by_a_deadline_serve_waiting_calls() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.MAX_CONCURRENT_STREAMS: 5})
        async for stream in peer.requests():
            if stream > 10:
                peer.reply(stream, ok(stream))

    async def main() -> list[Result]:
        async with (
            hostile(behave) as server,
            Client(f"127.0.0.1:{server.port}") as client,
        ):
            deadlines = [0.3] * 5 + [1000] * 8
            return await asyncio.gather(
                *(client.infer(REQUEST, deadline_seconds=deadline) for deadline in deadlines)
            )

    outcomes = [result.outcome for result in asyncio.run(main())]
    assert outcomes == [Outcome.DEADLINE] * 5 + [Outcome.OK] * 8


def test_a_call_cancelled_in_the_queue_is_never_sent() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.MAX_CONCURRENT_STREAMS: 1})
        async for stream in peer.requests():
            await cancelled.wait()
            peer.reply(stream, ok(stream))

    cancelled = asyncio.Event()

    async def main() -> int:
        async with (
            hostile(behave) as server,
            Client(f"127.0.0.1:{server.port}") as client,
        ):
            first, second, third = (asyncio.create_task(client.infer(REQUEST)) for _ in range(3))
            while not (server.peers and server.peers[0].open_now):
                await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second])
            cancelled.set()
            assert (await first).ok
            assert (await third).ok
            return sum(frame.kind == h2.HEADERS for frame in server.peers[0].frames_seen)

    assert asyncio.run(main()) == 2


def test_a_cancelled_caller_cancels_its_call() -> None:
    async def main() -> set[int]:
        async with (
            hostile(serving(hang)) as server,
            Client(f"127.0.0.1:{server.port}", deadline_seconds=1000) as client,
        ):
            task = asyncio.create_task(client.infer(REQUEST))
            while not server.peers or not server.peers[0].open_now:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not server.peers[0].resets():
                await asyncio.sleep(0)
            return server.peers[0].resets()

    assert asyncio.run(main()) == {1}


def test_an_empty_batch_makes_no_call_and_an_unconnected_client_raises() -> None:
    async def main() -> None:
        async with hostile(serving(hang)) as server:
            assert await infer_many(f"127.0.0.1:{server.port}", []) == []
        with pytest.raises(EventFlowError, match="async with"):
            await Client("127.0.0.1:1").infer(REQUEST)

    asyncio.run(main())


@pytest.mark.parametrize(
    "endpoint", ["nowhere", "host:", ":8080", "host:0", "host:70000", "::1:80"]
)
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(EventFlowError, match="expected HOST:PORT"):
        Client(endpoint)
