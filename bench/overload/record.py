"""Record of one overload: the time of every step, goodput, and the client's account."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.table import Table

from bench.overload.fleet import FleetStep
from eventflow.fetch import Series
from eventflow.outcomes import REFUSALS, Outcome


@dataclass(frozen=True)
class Milestone:
    """One step of the loop."""

    what: str
    at_seconds: float | None
    """From the beginning of the overload; None where it did not happen."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One overload of one fleet."""

    name: str
    least: int
    most: int
    growth_needs: float
    """Signal above which the scaler asks for more than the fewest."""
    replica_rps: float
    """Calls per second that one replica can answer."""
    window: int
    """Calls that the client held."""
    niceness: int
    """Niceness of the client, which shared a machine with the fleet."""
    settle_seconds: float
    """Time after all replicas are ready from which on goodput of the whole fleet is measured."""
    full_seconds: float
    """Duration of that measurement."""
    began_at: float
    """When the first call was made, `time.time` seconds."""
    steps: tuple[FleetStep, ...]
    """The fleet's course, from before the beginning."""
    back_at: float | None
    """When the fleet was back at its least; None where that was not seen, or not waited for."""
    signal: Series
    """Result of the autoscaler's query; this and the next by seconds from the beginning."""
    in_flight: Series
    refusals: Series
    routed: Series
    """Replicas that the gateway sends calls to."""
    client: dict[str, Any]
    """The client's report."""

    @property
    def all_ready_seconds(self) -> float | None:
        """When all replicas were ready, from the beginning."""
        return self._first(lambda step: step.ready == step.replicas == self.most)

    @property
    def killed(self) -> int:
        """Connections that were killed."""
        return self.client["connections_killed"]

    @property
    def lost(self) -> int:
        """Calls of which the client heard nothing at all."""
        return self.client["outcomes"][Outcome.LOST]

    @property
    def capacity_per_second(self) -> float:
        """Calls per second that the whole fleet can answer, by what is stated of a replica."""
        return self.most * self.replica_rps

    @cached_property
    def goodput(self) -> Series:
        """OK calls per second in each step of the client's timeline, which is its beginning."""
        step = self.client["timeline_step_seconds"]
        rows = self.client["timeline"]
        return Series(
            tuple(row["at"] for row in rows), tuple(row.get(Outcome.OK, 0) / step for row in rows)
        )

    @property
    def goodput_at_least(self) -> float | None:
        """Mean OK calls per second from the second second until the first new replica is ready."""
        grown = self._first(lambda step: step.ready > self.least)
        end = self.client["seconds"] if grown is None else grown
        return self._mean_goodput(1.0, end)

    @property
    def goodput_at_most(self) -> float | None:
        """Mean OK calls per second of the whole fleet; None where it was not whole for so long."""
        ready = self.all_ready_seconds
        start = math.inf if ready is None else ready + self.settle_seconds
        if start + self.full_seconds > self.client["seconds"]:
            return None
        return self._mean_goodput(start, start + self.full_seconds)

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """Every step of the loop, in the order in which they follow from one another."""
        first_end = self.client["first_end_seconds"]
        refused = [first_end[outcome] for outcome in REFUSALS if outcome in first_end]
        needs, most = self.growth_needs, self.most
        return (
            Milestone("overload begins", 0.0),
            Milestone("first refusal", min(refused, default=None)),
            Milestone(
                f"signal above {needs:g}, what {self.least} replicas cover",
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
        """The steps, and what the client counted."""
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
        """All of it as plain values for JSON."""
        return {
            **asdict(self),
            "milestones": [asdict(milestone) for milestone in self.milestones],
            "goodput": asdict(self.goodput),
            "goodput_at_least": self.goodput_at_least,
            "goodput_at_most": self.goodput_at_most,
        }

    def _first(self, predicate: Callable[[FleetStep], bool]) -> float | None:
        return next((step.at - self.began_at for step in self._under_load if predicate(step)), None)

    @property
    def _under_load(self) -> Iterable[FleetStep]:
        return (step for step in self.steps if step.at >= self.began_at)

    def _mean_goodput(self, start: float, end: float) -> float | None:
        """Mean over the steps that lie within a stretch of time; None where none does."""
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
