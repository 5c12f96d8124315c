"""The loads, each with what it measures of one design."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.overload.burst_process import BurstProcess
from bench.rivals import bed, designs
from bench.rivals.bed import DEADLINE_SECONDS, Bed, Fleet
from bench.rivals.designs import OURS, Design, Way
from bench.rivals.figures import Figures, common
from bench.rivals.pauses import paused
from bench.rivals.pressure import Pressure, cpu_seconds, pressed
from bench.windows import least_share
from config.units import EPSILON
from eventflow.outcomes import Outcome

BURST_CALLS = 50_000

_SETTLE_SECONDS = 1.0
"""Time for the first health checks before a load: two intervals."""

_LIGHT_SECONDS = 4
_GROWTH_SECONDS = 19.0
_GROWTH = tuple((2.0 + 2.0 * step, min(20, 2 + 3 * step)) for step in range(1, 7))
"""Seconds after the first call, and the number of replicas that are then ready."""

_SETTLED_SECONDS = 4.0
"""Last part of a growth, with all replicas ready: its share is what the bed itself allows."""

_OVERLOAD, _OVERLOAD_SECONDS = 3, 10.0
"""Calls over the capacity, for several times their deadline."""

_REFUSED_WINDOW = 1_100
"""Calls in flight beyond the limit of each design; the fleet answers 20 a second."""

_SLOW_LOAD = 0.6


def _is_any(design: Design) -> bool:
    del design
    return True


def _is_ours(design: Design) -> bool:
    return design.name == OURS


def _has_gateway(design: Design) -> bool:
    return design.command is not None


@dataclass(frozen=True)
class Load:
    """A load, and how it is measured."""

    name: str
    fleet: Fleet
    measure: Callable[[Way, Bed], Figures]
    pressure: Pressure = Pressure.QUIET
    concerns: Callable[[Design], bool] = _is_any
    """Tells whether a design is measured under this load."""

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


def burst(way: Way, replicas: Bed) -> Figures:
    """Make all calls of the burst at once, and compare the answers with the possible ones."""
    found, cpu = _spent(way, {"calls": BURST_CALLS})
    answered = _of_the_possible(found["outcomes"]["ok"], found["issued_seconds"], replicas)
    return {**common(found), **answered, "gateway CPU": cpu}


def _of_the_possible(answered: int, issued_seconds: float, replicas: Bed) -> Figures:
    """Return the answered calls of a burst, and their share of what the fleet could answer."""
    possible = replicas.fleet.capacity * (issued_seconds + DEADLINE_SECONDS)
    return {"answered": answered, "share": answered / min(BURST_CALLS, possible)}


def own_burst(way: Way, replicas: Bed) -> Figures:
    """Make the same calls with this project's own client."""
    before = cpu_seconds(way.process)
    with (
        tempfile.TemporaryDirectory() as folder,
        BurstProcess.start(way.target, calls=BURST_CALLS, folder=Path(folder)) as client,
    ):
        report = client.wait(bed.PATIENCE_SECONDS)
    outcomes = report["outcomes"]
    return {
        "killed": float(report["connections_killed"]),
        "lost": float(outcomes[Outcome.CONNECTION_LOST]),
        **_of_the_possible(outcomes[Outcome.OK], report["issue_seconds"], replicas),
        "gateway CPU": cpu_seconds(way.process) - before,
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
        return {
            **common(found),
            **grown(found, steps, replicas.fleet.replica_rps),
            "settled": settled(found, replicas.fleet.capacity),
        }

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
    worst = least_share(counts, could, length)
    share = {"share": sum(counts) / sum(could)}
    return share if worst is None else {**share, "worst 5 s": worst}


def settled(found: dict[str, Any], rps: float, seconds: float = _GROWTH_SECONDS) -> float:
    """Return the share that was answered after the growth of what all replicas could answer.

    Args:
        found: The client's account.
        rps: Calls per second that all replicas can answer.
        seconds: Duration of the load.
    """
    length = found["step_seconds"]
    first, last = (round(at / length) for at in (seconds - _SETTLED_SECONDS, seconds))
    counts = [step["ok"] for step in found["timeline"]][first:last]
    return sum(counts) / (rps * length * (last - first))


def overloaded(way: Way, replicas: Bed) -> Figures:
    """Make more calls than the fleet can answer, for so long that no queue can hold them."""
    fleet, seconds = replicas.fleet, _OVERLOAD_SECONDS
    load = {"rate": _OVERLOAD * fleet.capacity, "duration": f"{seconds}s"}
    found, cpu = _spent(way, load)
    answered = grown(found, [(0.0, fleet.ready)], fleet.replica_rps, seconds)
    return {**common(found), **answered, "gateway CPU": cpu}


def refused(way: Way, replicas: Bed) -> Figures:
    """Measure the price of a refusal, with the share of the few calls that are admitted."""
    del replicas
    found, cpu = _spent(way, {"window": _REFUSED_WINDOW, "duration": f"{_LIGHT_SECONDS}s"})
    number = found["outcomes"]["refused"]
    return {**common(found), **({"gateway CPU a refusal": cpu / number} if number else {})}


def price(size: int, **load: float) -> Callable[[Way, Bed], Figures]:
    """Return the measurement of a call's price and latency.

    Args:
        size: Bytes of a request.
        load: `rate` in calls a second, or `window`, the number of calls in flight.
    """

    def measure(way: Way, replicas: Bed) -> Figures:
        del replicas
        whole = {**load, "duration": f"{_LIGHT_SECONDS}s", "request_bytes": size}
        found, cpu = _spent(way, whole)
        answered = found["outcomes"]["ok"]
        each = cpu / answered if answered else 0.0
        return {**common(found), "answered": answered, "gateway CPU a call": each}

    return measure


def slow(way: Way, replicas: Bed) -> Figures:
    """Measure all answers while one replica may be ten times slower."""
    rate = _SLOW_LOAD * replicas.fleet.capacity
    found, _ = _spent(way, {"rate": rate, "duration": f"{_LIGHT_SECONDS}s"})
    answered = found["outcomes"]["ok"]
    return {**common(found), "share": answered / (rate * _LIGHT_SECONDS)}


BURSTS = tuple(
    Load(f"burst, {kind}", Fleet(), burst, kind, _is_any if kind.is_for_all else _has_gateway)
    for kind in Pressure
)
"""The burst under each pressure; without a gateway there is nothing to press."""


_LARGE = Fleet(response_bytes=1_000_000, service_seconds=0)
_SMALL = Fleet(response_bytes=1_000, service_seconds=0)

PRICE = (
    Load("1 kB at 200/s", _SMALL, price(1_000, rate=200)),
    Load("1 kB, 64 held", _SMALL, price(1_000, window=64)),
)
"""Loads that show the price of a call."""

_FOUR = Fleet(slots=4)
"""Replicas where the client must make as many calls as the fleet can answer."""

_GROWING = Fleet(ready=2, slots=1, service_seconds=0.02)

LOADS = (
    *BURSTS,
    Load("burst of the event flow", Fleet(), own_burst, concerns=_has_gateway),
    *(Load(f"{held} held, 2 to 20", _GROWING, growth(held)) for held in (400, 2_000)),
    Load(f"{_OVERLOAD} x the capacity", _FOUR, overloaded),
    Load("refusals", Fleet(slots=1, service_seconds=1), refused, concerns=lambda one: one.refuses),
    *(
        Load(f"{who} stopped for 2 s", _FOUR, paused(who), concerns=_is_ours)
        for who in ("gateway", "replicas", "client")
    ),
    *PRICE,
    Load("1 MB at 20/s", _LARGE, price(1_000_000, rate=20)),
    Load("60 %, no slow replica", _FOUR, slow),
    Load("60 %, one slow replica", replace(_FOUR, slow=0), slow),
)
"""All loads, in the order of the table."""
