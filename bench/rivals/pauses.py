"""A process that is stopped for a while, and the time until goodput is back."""

import time
from collections.abc import Callable
from typing import Any

from bench.rivals import bed
from bench.rivals.bed import Bed
from bench.rivals.designs import Way
from bench.rivals.figures import Figures, common
from bench.rivals.pressure import tree

_PAUSE_AFTER_SECONDS, _PAUSE_SECONDS, _PAUSED_SECONDS = 3.0, 2.0, 10.0
"""Start of the pause, its length, and the duration of the whole load."""

_PAUSE_WINDOW = 400
_BACK_SHARE, _BACK_SECONDS = 0.9, 0.5
"""Share of the rate before the pause that a period of this length must have to count as back."""


def paused(who: str) -> Callable[[Way, Bed], Figures]:
    """Return the measurement of calls that are held while a process is stopped, and goes on.

    Args:
        who: `gateway`, `replicas` or `client`.
    """

    def measure(way: Way, replicas: Bed) -> Figures:
        client = bed.call(
            way.target, options=way.options, window=_PAUSE_WINDOW, duration=f"{_PAUSED_SECONDS}s"
        )
        chosen = {"gateway": way.process, "replicas": replicas.process, "client": client}[who]
        time.sleep(_PAUSE_AFTER_SECONDS)
        members = tree(chosen) if chosen else []
        for one in members:
            one.suspend()
        time.sleep(_PAUSE_SECONDS)
        resumed = time.time()
        for one in members:
            one.resume()
        found = bed.account(client)
        after = back_after(found, resumed - found["first_call_unix"])
        return {**common(found), **({} if after is None else {"back after": after})}

    return measure


def back_after(found: dict[str, Any], resumed: float) -> float | None:
    """Return the seconds until goodput was back after a pause; None if it was not.

    Args:
        found: The client's account.
        resumed: Seconds after the first call at which the pause ended.
    """
    length, counts = found["step_seconds"], [step["ok"] for step in found["timeline"]]
    wide = round(_BACK_SECONDS / length)

    def rate(row: int) -> float:
        return sum(counts[row : row + wide]) / _BACK_SECONDS

    first, last = round(1 / length), round((resumed - _PAUSE_SECONDS) / length)
    before = sum(counts[first:last]) / ((last - first) * length)
    start = round(resumed / length)
    rows = range(start, round(_PAUSED_SECONDS / length) - wide + 1)
    back = next((row for row in rows if rate(row) >= _BACK_SHARE * before), None)
    return None if back is None else (back - start) * length
