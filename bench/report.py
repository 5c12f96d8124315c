"""Report of a run: samples, goals, and the machine."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.plot import plot_goals
from local_cluster.toolchain.table import TABLE

console = Console(highlight=False)


@dataclass(frozen=True)
class Sample:
    """A quantity that was measured several times, in one unit."""

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """Range of the values, as text."""
        return f"{min(self.values):.2f} - {max(self.values):.2f}"


class Bound(StrEnum):
    """Side of the bound that meets a goal; the bound itself meets it too."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True)
class Goal:
    """A figure and its bound."""

    name: str
    value: float | None
    """Measured value; None if the event did not happen."""
    side: Bound
    bound: float
    unit: str

    @property
    def met(self) -> bool:
        """True if the figure is on the right side of its bound."""
        if self.value is None:
            return False
        if self.side is Bound.AT_MOST:
            return self.value <= self.bound
        return self.value >= self.bound

    @property
    def figure(self) -> str:
        """Figure as text."""
        return "never" if self.value is None else f"{self.value:.2f} {self.unit}"


@dataclass
class BenchReport:
    """Measurements of one run."""

    samples: list[Sample] = field(default_factory=list[Sample])
    goals: list[Goal] = field(default_factory=list[Goal])
    tables: list[Table] = field(default_factory=list[Table])
    """Further tables to print."""
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """Reason why something was not measured, by its name."""
    busy_before: float = field(default_factory=lambda: round(os.getloadavg()[0], 2))
    """Load average of the machine before anything was measured."""

    def sample(self, name: str, unit: str, values: Sequence[float]) -> Sample:
        """Add a sample and print it."""
        sample = Sample(name, unit, [round(value, 3) for value in values])
        self.samples.append(sample)
        console.print(f"  {name}: median {sample.median:.2f} {unit} ({sample.spread})")
        return sample

    def at_most(self, name: str, value: float | None, bound: float, unit: str) -> None:
        """Add a goal with an upper bound; None is an event that did not happen."""
        self._goal(name, value, Bound.AT_MOST, bound, unit)

    def at_least(self, name: str, value: float | None, bound: float, unit: str) -> None:
        """Add a goal with a lower bound; None is an event that did not happen."""
        self._goal(name, value, Bound.AT_LEAST, bound, unit)

    def _goal(self, name: str, value: float | None, side: Bound, bound: float, unit: str) -> None:
        rounded = None if value is None else round(value, 3)
        self.goals.append(Goal(name, rounded, side, bound, unit))

    def leave_out(self, what: str, why: str) -> None:
        """Print and record that something is not measured on this machine."""
        self.left_out[what] = why
        console.print(f"left out: {what}, which needs {why}", style="yellow")

    def show(self) -> None:
        """Print the tables."""
        samples = Table("measured", "median", "least - greatest", "runs", title="measured")
        for s in self.samples:
            samples.add_row(s.name, f"{s.median:.2f} {s.unit}", s.spread, str(len(s.values)))
        goals = Table("goal", "figure", "held to", "met", title="goals")
        for g in self.goals:
            held_to = f"{g.side} {g.bound:g} {g.unit}"
            goals.add_row(g.name, g.figure, held_to, "yes" if g.met else "NO")
        console.print(self._machine())
        for table in (samples, *self.tables, goals):
            console.print(table)
        for what, why in self.left_out.items():
            console.print(f"left out: {what}, which needs {why}", style="yellow")

    def write(self, folder: Path) -> None:
        """Write `results.json` and `results.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "machine": self._machine(),
            "versions": {name: tool.version for name, tool in TABLE.items()},
            "samples": [{**asdict(s), "median": s.median} for s in self.samples],
            "goals": [{**asdict(g), "met": g.met} for g in self.goals],
            "left_out": self.left_out,
        }
        (folder / "results.json").write_text(json.dumps(document, indent=1))
        plot_goals(self.goals, folder / "results.png")

    def _machine(self) -> dict[str, object]:
        return {**machine(), "load_before": self.busy_before}


def timed(action: Callable[[], object]) -> float:
    """Run an action; return its duration in seconds."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def machine() -> dict[str, object]:
    """Return a description of the machine, with its current load."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
