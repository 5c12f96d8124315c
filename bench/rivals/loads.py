"""The loads, each with what it measures of one design."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rivals import bed, designs
from bench.rivals.bed import DEADLINE_SECONDS, Bed, Fleet
from bench.rivals.designs import Design, Way
from bench.rivals.pressure import Pressure, cpu_seconds, pressed, tree
from config.units import EPSILON

BURST_CALLS = 50_000

_SETTLE_SECONDS = 2.0
"""Time for health checks and DNS before a load: two intervals of each."""

_LIGHT_SECONDS = 5
_STEADY_WINDOW = 64
_GROWTH_SECONDS = 24.0
_GROWTH = tuple((2.0 + 2.0 * step, min(20, 2 + 3 * step)) for step in range(1, 7))
"""Seconds after the first call, and the number of replicas that are then ready."""

_WORST_SECONDS = 5.0
_OVERLOAD, _OVERLOAD_SECONDS = 3, 10.0
"""Calls over the capacity, for several times their deadline."""

_PAUSE_AFTER_SECONDS, _PAUSE_SECONDS, _PAUSED_SECONDS = 3.0, 2.0, 10.0
"""Start of the pause, its length, and the duration of the whole load."""

_PAUSE_WINDOW = 400
_BACK_SHARE, _BACK_SECONDS = 0.9, 0.5
"""Share of the rate before the pause that a period of this length must have to count as back."""

_SLOW_LOAD = 0.6
_SLOW_FLEET_SLOTS = 4
"""Slots of a replica where the client must make as many calls as the fleet can answer."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Load:
    """A load, and how it is measured."""

    name: str
    fleet: Fleet
    measure: Callable[[Way, Bed], Figures]
    pressure: Pressure = Pressure.QUIET

    def run(self, design: Design, folder: Path) -> Figures:
        """Measure a design once.

        Args:
            design: The design.
            folder: Existing folder for its files.
        """
        stack = designs.stack_of(self.fleet)
        with (
            bed.running(self.fleet, stack) as replicas,
            designs.running(design, replicas, folder) as way,
        ):
            time.sleep(_SETTLE_SECONDS)
            if self.pressure is not Pressure.COLD:
                bed.account(way.call(rate=200, duration="1s"))
            before = replicas.order()["answered"]
            with pressed(self.pressure, way.process):
                figures = self.measure(way, replicas)
            after = replicas.order()["answered"]
            served = [new - old for new, old in zip(after, before, strict=True)]
            mean = sum(served) / len(served)
            return {**figures, "most loaded": max(served) / mean if mean else 0.0}


def _spent(way: Way, load: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Run the client; return its account, and the gateway's CPU seconds."""
    before = cpu_seconds(way.process)
    found = bed.account(way.call(**load))
    return found, cpu_seconds(way.process) - before


def _common(found: dict[str, Any]) -> Figures:
    figures = {
        "lost": float(found["outcomes"]["lost"]),
        "killed": float(found["connections_killed"]),
    }
    for words, key in (("answer", "ok_seconds"), ("refusal", "refused_seconds")):
        if found[key]:
            figures |= {f"{words} p50": found[key]["p50"], f"{words} p99": found[key]["p99"]}
    return figures


def burst(way: Way, replicas: Bed) -> Figures:
    """Make all calls of the burst at once, and compare the answers with the possible ones."""
    found, cpu = _spent(way, {"calls": BURST_CALLS})
    possible = replicas.fleet.capacity * (found["issued_seconds"] + DEADLINE_SECONDS)
    answered = found["outcomes"]["ok"]
    return {
        **_common(found),
        "answered": answered,
        "share": answered / min(BURST_CALLS, possible),
        "gateway CPU": cpu,
    }


def growth(window: int) -> Callable[[Way, Bed], Figures]:
    """Return the measurement of calls that are held while the fleet grows by one schedule."""

    def measure(way: Way, replicas: Bed) -> Figures:
        client = bed.call(
            way.target, options=way.options, window=window, duration=f"{_GROWTH_SECONDS}s"
        )
        began, ready = time.time(), [(0.0, replicas.fleet.ready)]
        for after, number in _GROWTH:
            time.sleep(max(0.0, began + after - time.time()))
            replicas.order(ready=number)
            way.follow(number)
            ready.append((time.time(), number))
        found = bed.account(client)
        first = found["first_call_unix"]
        steps = [(max(0.0, at - first), number) for at, number in ready]
        return {**_common(found), **grown(found, steps, replicas.fleet.replica_rps)}

    return measure


def grown(
    found: dict[str, Any],
    ready: Sequence[tuple[float, int]],
    rps: float,
    seconds: float = _GROWTH_SECONDS,
) -> Figures:
    """Return the share that was answered of what the ready replicas could answer.

    Args:
        found: The client's account.
        ready: Seconds after the first call, and the number of replicas that were then ready.
        rps: Calls per second that one replica can answer.
        seconds: Duration of the load.
    """
    length = found["step_seconds"]
    counts = [step["ok"] for step in found["timeline"]][: round(seconds / length)]
    could = [
        rps * length * [number for at, number in ready if at <= row * length + EPSILON][-1]
        for row in range(len(counts))
    ]
    wide = round(_WORST_SECONDS / length)
    shares = [
        sum(counts[row : row + wide]) / sum(could[row : row + wide])
        for row in range(len(counts) - wide + 1)
    ]
    return {"share": sum(counts) / sum(could), "worst 5 s": min(shares)}


def overloaded(way: Way, replicas: Bed) -> Figures:
    """Make more calls than the fleet can answer, for so long that no queue can hold them."""
    fleet, seconds = replicas.fleet, _OVERLOAD_SECONDS
    load = {"rate": _OVERLOAD * fleet.capacity, "duration": f"{seconds}s"}
    found, cpu = _spent(way, load)
    answered = grown(found, [(0.0, fleet.ready)], fleet.replica_rps, seconds)
    return {**_common(found), **answered, "gateway CPU": cpu}


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
        return {**_common(found), **({} if after is None else {"back after": after})}

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


def light(size: int, rate: float) -> Callable[[Way, Bed], Figures]:
    """Return the measurement of a light load with messages of a size in bytes."""

    def measure(way: Way, replicas: Bed) -> Figures:
        del replicas
        load = {"rate": rate, "duration": f"{_LIGHT_SECONDS}s", "request_bytes": size}
        found, cpu = _spent(way, load)
        answered = found["outcomes"]["ok"]
        each = cpu / answered if answered else 0.0
        return {**_common(found), "answered": answered, "gateway CPU a call": each}

    return measure


def steady(way: Way, replicas: Bed) -> Figures:
    """Measure the price of a call while many are in flight, of 1 kB each."""
    del replicas
    load = {"window": _STEADY_WINDOW, "duration": f"{_LIGHT_SECONDS}s", "request_bytes": 1_000}
    found, cpu = _spent(way, load)
    answered = found["outcomes"]["ok"]
    each = cpu / answered if answered else 0.0
    return {**_common(found), "answered": answered, "gateway CPU a call": each}


def slow(way: Way, replicas: Bed) -> Figures:
    """Measure all answers while one replica may be ten times slower."""
    rate = _SLOW_LOAD * replicas.fleet.capacity
    found, _ = _spent(way, {"rate": rate, "duration": f"{_LIGHT_SECONDS}s"})
    answered = found["outcomes"]["ok"]
    return {**_common(found), "share": answered / (rate * _LIGHT_SECONDS)}


BURSTS = tuple(Load(f"burst, {kind}", Fleet(), burst, kind) for kind in Pressure)
"""The burst under each pressure."""

_SMALL = Fleet(response_bytes=1_000, service_seconds=0)

PRICE = (Load("1 kB at 200/s", _SMALL, light(1_000, 200)), Load("1 kB, 64 held", _SMALL, steady))
"""Loads that show the price of a call."""

_GROWING = Fleet(ready=2, slots=1, service_seconds=0.02)

LOADS = (
    *BURSTS,
    *(Load(f"{held} held, 2 to 20", _GROWING, growth(held)) for held in (400, 2_000)),
    Load(f"{_OVERLOAD} x the capacity", Fleet(slots=_SLOW_FLEET_SLOTS), overloaded),
    *(
        Load(f"{who} stopped for 2 s", Fleet(slots=_SLOW_FLEET_SLOTS), paused(who))
        for who in ("gateway", "replicas", "client")
    ),
    *PRICE,
    Load("1 MB at 20/s", Fleet(response_bytes=1_000_000, service_seconds=0), light(1_000_000, 20)),
    Load("60 %, no slow replica", Fleet(slots=_SLOW_FLEET_SLOTS), slow),
    Load("60 %, one slow replica", Fleet(slots=_SLOW_FLEET_SLOTS, slow=0), slow),
)
"""All loads, in the order of the table."""
