"""The load generator: makes calls according to a load model and ensures that each one ends."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from eventflow.call import Call
from eventflow.engine import Engine
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.outcomes import Outcome, Verdict, own_deadline

LOST_GRACE_SECONDS = 0.5
"""Time after its deadline after which a call without an end counts as lost."""

_SWEEP_SECONDS = 0.1

_NEVER_MADE = Verdict(Outcome.CANCELLED, "before it was made", unprocessed=True)
_CANCELLED = Verdict(Outcome.CANCELLED, "by the client")
_LOST = Verdict(Outcome.LOST, "nothing by deadline + 0.5 s")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Number, pace and deadline of the calls."""

    load: Load
    calls: int | None
    """Number of calls; unset means as many as fit in `seconds`."""
    seconds: float | None = None
    """Time after which no further calls are made; unset means no limit."""
    deadline_seconds: float = 2.0
    """Deadline of each call."""

    def calls_of(self, made: int) -> int:
        """Return the number of calls in a complete account: as planned, or as made in time."""
        return made if self.calls is None or self.seconds is not None else self.calls


class LoadGenerator:
    """A generator that makes calls on an engine until the plan is done or `stop` is called."""

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        message: Callable[[int], bytes],
        make: Callable[[float], int],
        settled: Callable[[Call], None],
    ) -> None:
        """Prepare a run.

        Args:
            engine: A connected engine.
            plan: Number, pace and deadline of the calls.
            message: Function that returns the request of call i, with the gRPC prefix.
            make: Function that enters a call made or due at a time, and returns its index.
            settled: Callback that runs once for each call, at its end.
        """
        self._engine = engine
        self._plan = plan
        # By kind: only an open loop has a schedule; the others follow the calls in flight.
        self._schedule = plan.load if isinstance(plan.load, OpenLoop) else None
        self._message = message
        self._make = make
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._live: dict[int, Call] = {}
        self._made = 0
        self._making = True
        self._most = _most_calls(plan)
        self._next_turn: asyncio.Handle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._stuck = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._overdue = -math.inf
        self._done: asyncio.Future[None] = self._loop.create_future()
        self.started_at = 0.0
        """Start of the run, `time.monotonic` seconds."""

    async def run(self) -> None:
        """Make the calls and return when all have ended."""
        self._engine.room_listeners.append(self._room)
        self.started_at = time.monotonic()
        self._sweep()
        self._make_due_calls()
        try:
            await self._done
        finally:
            self._engine.room_listeners.remove(self._room)
            if self._patience is not None:
                self._patience.cancel()
            if self._sweeping is not None:
                self._sweeping.cancel()

    def stop(self) -> None:
        """Make no further calls; calls in flight and calls not made count as cancelled."""
        self._making = False
        for call in list(self._live.values()):
            self._engine.give_up(call, _CANCELLED)
        for _ in range(self.calls - self._made):
            call = self._enter(time.monotonic())
            call.settle(_NEVER_MADE, call.made_at)
        self._finish_if_done()

    @property
    def calls(self) -> int:
        """Number of calls in a complete account."""
        return self._plan.calls_of(self._made)

    @property
    def in_flight(self) -> int:
        """Number of calls that have been made and have not ended."""
        return len(self._live)

    def _room(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._stuck = False
        self._wake()

    def _lose_patience(self) -> None:
        """Stop waiting for a peer that reads nothing; further calls use up their deadline."""
        self._patience = None
        self._stuck = True
        self._wake()

    def _wake(self) -> None:
        if self._making and self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._make_due_calls)

    def _make_due_calls(self) -> None:
        self._next_turn = None
        if not self._making:
            return
        now, plan = time.monotonic(), self._plan
        for _ in range(min(self._due(now), self._engine.batch)):
            call = self._enter(self._start_of_next(now))
            if call.deadline_at > now:
                self._engine.submit(call)
            else:
                # The client cannot keep its rate and is late: a deadline, not a loss by the server.
                call.settle(own_deadline(sent=False), now)
        timed_out = plan.seconds is not None and now >= self.started_at + plan.seconds
        if self._made >= self._most or (timed_out and not self._schedule):
            self._making = False
            self._finish_if_done()
        elif self._due(now) > 0:
            self._wake()
        elif self._schedule:
            self._next_turn = self._loop.call_at(self._start_of_next(now), self._make_due_calls)
        # By kind: only maximal throughput waits for room in the kernel's buffer.
        elif isinstance(plan.load, MaxThroughput) and self._patience is None:
            self._patience = self._loop.call_later(plan.deadline_seconds, self._lose_patience)

    def _due(self, now: float) -> int:
        """Return the number of calls that are due now."""
        # By kind: the number depends on the engine and on the calls in flight.
        match self._plan.load:
            case MaxThroughput():
                due = self._engine.batch if self._engine.writable or self._stuck else 0
            case ClosedLoop(size):
                due = size - len(self._live)
            case OpenLoop(per_second):
                due = int((now - self.started_at) * per_second) + 1 - self._made
        return int(min(due, self._most - self._made))

    def _start_of_next(self, now: float) -> float:
        if self._schedule:
            return self.started_at + self._made / self._schedule.per_second
        return now

    def _enter(self, made_at: float) -> Call:
        number, self._made = self._made, self._made + 1
        deadline_at = made_at + self._plan.deadline_seconds
        call = Call(self._make(made_at), self._message(number), made_at, deadline_at, self._ended)
        self._live[call.index] = call
        return call

    def _ended(self, call: Call) -> None:
        del self._live[call.index]
        self._settled(call)
        if self._making:
            if not self._next_turn and not self._schedule:
                self._wake()
        else:
            self._finish_if_done()

    def _sweep(self) -> None:
        """Give up calls that have no end half a second after their deadline.

        If the client itself was stalled, the responses that arrived meanwhile and the client's own
        deadlines go first: the sweep gives up only calls that were overdue at the sweep before.
        """
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        limit, self._overdue = self._overdue, time.monotonic() - LOST_GRACE_SECONDS
        lost: list[Call] = []
        for call in self._live.values():  # in the order made, hence by deadline
            if call.deadline_at > limit:
                break
            lost.append(call)
        for call in lost:
            self._engine.give_up(call, _LOST)

    def _finish_if_done(self) -> None:
        if not self._live and not self._making and not self._done.done():
            self._done.set_result(None)


def _most_calls(plan: Plan) -> float:
    """Return the largest number of calls; in an open loop a time limit is a number of calls."""
    most = math.inf if plan.calls is None else plan.calls
    # By kind: only a schedule says how many calls fit into a time.
    if isinstance(plan.load, OpenLoop) and plan.seconds is not None:
        most = min(most, math.ceil(plan.load.per_second * plan.seconds))
    return most
