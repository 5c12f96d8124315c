"""Calls that wait for a retry end like all others. `test_client` shows which calls are retried."""

import asyncio
import time

from eventflow.call import Call
from eventflow.outcomes import Outcome, Verdict
from eventflow.retry import Retry, RetryingEngine
from fake_engine import FakeEngine

CANCELLED = Verdict(Outcome.CANCELLED, "by the client")


def refuse(_: FakeEngine, call: Call) -> None:
    call.settle(Verdict(Outcome.BREAKER, "", unprocessed=True), time.monotonic())


def a_call(ended: list[Call]) -> Call:
    now = time.monotonic()
    return Call(0, b"", now, now + 60.0, ended.append)


def test_a_call_given_up_between_two_attempts_is_not_retried() -> None:
    async def main() -> None:
        engine, ended = FakeEngine(refuse), list[Call]()
        retrying = RetryingEngine(engine, Retry(attempts=3, first_backoff_seconds=0.0))
        given_up, other = a_call(ended), a_call(ended)

        retrying.submit(given_up)
        retrying.give_up(given_up, CANCELLED)
        retrying.submit(other)  # its attempts come after the one that must not happen
        while other.verdict is None:
            await asyncio.sleep(0)

        assert engine.submitted == [given_up, *[other] * 4]
        assert ended == [given_up, other]
        assert given_up.end == CANCELLED

    asyncio.run(main())


def test_closing_ends_a_call_between_two_attempts() -> None:
    async def main() -> None:
        engine, ended = FakeEngine(refuse), list[Call]()
        slow = Retry(first_backoff_seconds=30.0, longest_backoff_seconds=30.0)
        retrying, call = RetryingEngine(engine, slow), a_call(ended)

        retrying.submit(call)
        await retrying.close()

        assert ended == [call]
        assert call.end == CANCELLED

    asyncio.run(main())
