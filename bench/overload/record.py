"""Record of one overload: the time of every step, goodput, and the client's account."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.table import Table

from bench.overload.fleet import FleetStep
from bench.windows import least_share
from eventflow.fetch import Series
from eventflow.outcomes import REFUSALS, Outcome


@dataclass(frozen=True)
class Milestone:
    """A step of the control loop."""

    what: str
    at_seconds: float | None
    """Seconds from the beginning of the overload; None if the step did not happen."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record of one overload of one fleet."""

    name: str
    least: int
    most: int
    growth_needs: float
    """Signal above which the autoscaler asks for more than the minimum."""
    replica_rps: float
    """Calls per second that one replica can answer."""
    window: int
    """Calls in flight that the client held."""
    niceness: int
    """Niceness of the client, which shared a machine with the fleet."""
    settle_seconds: float
    """Time between all replicas being ready and the measurement of goodput."""
    full_seconds: float
    """Duration of that measurement."""
    began_at: float
    """Time of the first call, `time.time` seconds."""
    steps: tuple[FleetStep, ...]
    """Course of the fleet, from before the beginning."""
    back_at: float | None
    """Time at which the fleet was back at its minimum; None if not seen, or not waited for."""
    signal: Series
    """Result of the autoscaler's query; this and the next by seconds from the beginning."""
    in_flight: Series
    refusals: Series
    routed: Series
    """Replicas that get calls from the gateway."""
    client: dict[str, Any]
    """Report of the client."""

    @property
    def all_ready_seconds(self) -> float | None:
        """Time at which all replicas were ready, from the beginning."""
        return self._first(lambda step: step.ready == step.replicas == self.most)

    @property
    def killed(self) -> int:
        """Number of killed connections."""
        return self.client["connections_killed"]

    @property
    def lost(self) -> int:
        """Number of calls without any answer."""
        return self.client["outcomes"][Outcome.LOST]

    @property
    def capacity_per_second(self) -> float:
        """Calls per second that the whole fleet can answer, by the parameters."""
        return self.most * self.replica_rps

    @cached_property
    def goodput(self) -> Series:
        """OK calls per second in each step of the client's timeline."""
        step = self.client["timeline_step_seconds"]
        rows = self.client["timeline"]
        return Series(
            tuple(row["at"] for row in rows), tuple(row.get(Outcome.OK, 0) / step for row in rows)
        )

    @property
    def goodput_at_least(self) -> float | None:
        """Mean OK calls per second, from second 1 until the first new replica is ready."""
        grown = self._first(lambda step: step.ready > self.least)
        end = self.client["seconds"] if grown is None else grown
        return self._mean_goodput(1.0, end)

    @property
    def goodput_at_most(self) -> float | None:
        """Mean OK calls per second of the whole fleet; None if it was not whole for long enough."""
        ready = self.all_ready_seconds
        start = math.inf if ready is None else ready + self.settle_seconds
        if start + self.full_seconds > self.client["seconds"]:
            return None
        return self._mean_goodput(start, start + self.full_seconds)

    @property
    def worst_share(self) -> float | None:
        """Least share, in 5 s of the growth, of the calls that the ready replicas could answer.

        None if the fleet did not become whole. The growth ends when goodput is measured.
        """
        whole = self.all_ready_seconds
        if whole is None:
            return None
        length, end = self.client["timeline_step_seconds"], whole + self.settle_seconds
        rows = [
            (value, self.replica_rps * self._ready(at))
            for at, value in zip(self.goodput.at, self.goodput.values, strict=True)
            if at + length <= end
        ]
        return least_share([ok for ok, _ in rows], [could for _, could in rows], length)

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """Steps of the control loop, in causal order."""
        first_end = self.client["first_end_seconds"]
        refused = [first_end[outcome] for outcome in REFUSALS if outcome in first_end]
        needs, most = self.growth_needs, self.most
        return (
            Milestone("overload begins", 0.0),
            Milestone("first refusal", min(refused, default=None)),
            Milestone(
                f"signal above {needs:g}, the reach of {self.least} replicas",
                _first_above(self.signal, needs),
            ),
            Milestone("HPA wants more", self._first(lambda step: step.wanted > self.least)),
            Milestone(f"HPA wants {most}", self._first(lambda step: step.wanted == most)),
            Milestone(f"{most} replicas stated", self._first(lambda step: step.replicas == most)),
            Milestone("first new one ready", self._first(lambda step: step.ready > self.least)),
            Milestone(f"all {most} ready", self.all_ready_seconds),
            Milestone(f"gateway sends to {most}", _first_above(self.routed, most - 0.5)),
            Milestone("load ends", self.client["seconds"]),
            Milestone(
                f"back at {self.least}",
                None if self.back_at is None else self.back_at - self.began_at,
            ),
        )

    def table(self) -> Table:
        """Return a table of the steps and the client's counts."""
        table = Table("step", "s", title=f"{self.name}: {self.window} calls held")
        for milestone in self.milestones:
            at = milestone.at_seconds
            table.add_row(milestone.what, "never" if at is None else f"{at:.1f}")
        table.add_section()
        for words, value in (
            (f"goodput while {self.least} are ready", self.goodput_at_least),
            (f"goodput with {self.most} ready", self.goodput_at_most),
        ):
            table.add_row(words, "-" if value is None else f"{value:,.0f}/s")
        for outcome, calls in self.client["outcomes"].items():
            if calls or outcome == Outcome.LOST:
                table.add_row(f"calls: {outcome.replace('_', ' ')}", f"{calls:,}")
        table.add_row("connections killed", str(self.killed))
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain values for JSON."""
        return {
            **asdict(self),
            "milestones": [asdict(milestone) for milestone in self.milestones],
            "goodput": asdict(self.goodput),
            "goodput_at_least": self.goodput_at_least,
            "goodput_at_most": self.goodput_at_most,
            "worst_share": self.worst_share,
        }

    def _ready(self, seconds: float) -> int:
        """Return the number of replicas that were ready at a time from the beginning."""
        return [step.ready for step in self.steps if step.at - self.began_at <= seconds][-1]

    def _first(self, predicate: Callable[[FleetStep], bool]) -> float | None:
        return next((step.at - self.began_at for step in self._under_load if predicate(step)), None)

    @property
    def _under_load(self) -> Iterable[FleetStep]:
        return (step for step in self.steps if step.at >= self.began_at)

    def _mean_goodput(self, start: float, end: float) -> float | None:
        """Return the mean over the steps within a period; None if there is none."""
        length = self.client["timeline_step_seconds"]
        found = [
            value
            for at, value in zip(self.goodput.at, self.goodput.values, strict=True)
            if at >= start and at + length <= end
        ]
        return statistics.fmean(found) if found else None


def _first_above(series: Series, value: float) -> float | None:
    pairs = zip(series.at, series.values, strict=True)
    return next((at for at, found in pairs if found > value), None)
