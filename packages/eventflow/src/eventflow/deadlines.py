"""One timer for the deadlines of many calls."""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator

from eventflow.call import Call


class Deadlines:
    """A timer that calls `expire` for each call still open at its deadline."""

    def __init__(self, expire: Callable[[Call, float], None], after: Callable[[], None]) -> None:
        """Create a timer without calls.

        Args:
            expire: Callback for a call whose deadline has passed; it gets the current time, too.
            after: Callback that runs once after each group of expired calls.
        """
        self._expire = expire
        self._after = after
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Call]] = []
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Call]:
        return iter([call for _, _, call in self._heap])

    def add(self, call: Call) -> None:
        """Add a call."""
        self._added += 1  # breaks ties: calls cannot be compared
        heapq.heappush(self._heap, (call.deadline_at, self._added, call))
        if self._timer is None or call.deadline_at < self._timer.when():
            self._arm()

    def clear(self) -> None:
        """Remove all calls and stop the timer."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._due)

    def _due(self) -> None:
        self._timer = None
        now, heap = time.monotonic(), self._heap
        while heap and (heap[0][0] <= now or heap[0][2].verdict is not None):
            call = heapq.heappop(heap)[2]
            if call.verdict is None:
                self._expire(call, now)
        if heap:
            self._arm()
        self._after()
