"""Retries of calls that no replica can have seen."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from eventflow.call import Call
from eventflow.engine import ConnectionRecord, Engine
from eventflow.outcomes import Outcome, Verdict


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The retry policy.

    The client retries only calls that reached no replica: rejected by the breaker, no healthy
    upstream, a stream that the peer did not process, no connection. It does not retry UNAVAILABLE
    without the breaker's mark, because a replica may have done the work before a route timeout,
    and no call that the caller's rate limit rejected, because a retry would be rejected, too.
    """

    attempts: int = 3
    """Largest number of retries of one call."""
    budget_share: float = 0.2
    """Retries per first attempt, over time, so that retries do not multiply an overload."""
    budget_start: float = 10.0
    """Retries in the budget at the start."""
    budget_most: float = 100.0
    """Largest number of retries in the budget."""
    first_backoff_seconds: float = 0.025
    """Longest first wait; Envoy's retry back-off has the same 25 ms and 250 ms."""
    longest_backoff_seconds: float = 0.25
    """Longest wait."""


class RetryingEngine:
    """Wraps an engine with retries; the caller sees the last attempt only."""

    def __init__(self, engine: Engine, policy: Retry) -> None:
        self._engine = engine
        self._policy = policy
        self._tokens = policy.budget_start
        self._resting: set[Call] = set()
        self.retries = 0
        """Number of retries made."""

    @property
    def room_listeners(self) -> list[Callable[[], None]]:
        """See `Engine`."""
        return self._engine.room_listeners

    @property
    def batch(self) -> int:
        """See `Engine`."""
        return self._engine.batch

    @property
    def writable(self) -> bool:
        """See `Engine`."""
        return self._engine.writable

    @property
    def records(self) -> list[ConnectionRecord]:
        """See `Engine`."""
        return self._engine.records

    @property
    def reissued(self) -> int:
        """See `Engine`."""
        return self._engine.reissued

    @property
    def echoes(self) -> list[float]:
        """See `Engine`."""
        return self._engine.echoes

    def ping(self) -> None:
        """See `Engine`."""
        self._engine.ping()

    async def connect(self) -> None:
        """See `Engine`."""
        await self._engine.connect()

    async def close(self) -> None:
        """See `Engine`; this also ends calls that wait for a retry."""
        for call in list(self._resting):
            self.give_up(call, Verdict(Outcome.CANCELLED, "by the client"))
        await self._engine.close()

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """See `Engine`; this also ends calls that wait for a retry."""
        self._engine.give_up(call, verdict)

    def submit(self, call: Call) -> None:
        """Send a call, and retry it where that is safe."""
        policy = self._policy
        self._tokens = min(policy.budget_most, self._tokens + policy.budget_share)
        owner, tried = call.notify, 0

        def ended(call: Call) -> None:
            nonlocal tried
            wait = self._wait(tried)
            if not self._may_retry(call, tried, wait):
                owner(call)
                return
            tried += 1
            self._tokens -= 1
            self.retries += 1
            call.verdict = None
            call.done_at = math.nan
            call.rewind()
            self._resting.add(call)
            asyncio.get_running_loop().call_later(wait, self._retry, call)

        call.notify = ended
        self._engine.submit(call)

    def _retry(self, call: Call) -> None:
        self._resting.remove(call)
        if call.verdict is None:
            self._engine.submit(call)

    def _may_retry(self, call: Call, tried: int, wait: float) -> bool:
        return (
            call.verdict is not None
            and call.verdict.unprocessed
            and tried < self._policy.attempts
            and self._tokens >= 1
            and time.monotonic() + wait < call.deadline_at
        )

    def _wait(self, tried: int) -> float:
        longest = min(
            self._policy.longest_backoff_seconds, self._policy.first_backoff_seconds * 2**tried
        )
        return random.uniform(0, longest)
