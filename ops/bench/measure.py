"""Repeats, spread, and the machine that the figures come from."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.bench.plot import plot_goals
from toolchain.table import TABLE

console = Console(highlight=False)


@dataclass(frozen=True)
class Sample:
    """One thing measured several times, in one unit."""

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """Least to greatest."""
        return f"{min(self.values):.2f} - {max(self.values):.2f}"


@dataclass(frozen=True)
class Goal:
    """A figure and the most that it may be."""

    name: str
    value: float
    at_most: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the figure is within its goal."""
        return self.value <= self.at_most


@dataclass
class Report:
    """What one run measured."""

    samples: list[Sample] = field(default_factory=list[Sample])
    goals: list[Goal] = field(default_factory=list[Goal])

    def sample(self, name: str, unit: str, values: Sequence[float]) -> Sample:
        """Keep measured values."""
        sample = Sample(name, unit, [round(value, 3) for value in values])
        self.samples.append(sample)
        console.print(f"  {name}: median {sample.median:.2f} {unit} ({sample.spread})")
        return sample

    def goal(self, name: str, value: float, at_most: float, unit: str) -> None:
        """Hold a figure against the most that it may be."""
        self.goals.append(Goal(name, round(value, 3), at_most, unit))

    def show(self) -> None:
        """Print the tables."""
        samples = Table("measured", "median", "least - greatest", "runs", title="measured")
        for s in self.samples:
            samples.add_row(s.name, f"{s.median:.2f} {s.unit}", s.spread, str(len(s.values)))
        goals = Table("goal", "figure", "at most", "met", title="goals")
        for g in self.goals:
            goals.add_row(
                g.name,
                f"{g.value:.2f} {g.unit}",
                f"{g.at_most:g} {g.unit}",
                "yes" if g.met else "NO",
            )
        console.print(machine())
        console.print(samples)
        console.print(goals)

    def write(self, folder: Path) -> None:
        """Write `results.json` and, where matplotlib is there, `results.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "machine": machine(),
            "versions": {name: tool.version for name, tool in TABLE.items()},
            "samples": [{**asdict(s), "median": s.median} for s in self.samples],
            "goals": [{**asdict(g), "met": g.met} for g in self.goals],
        }
        (folder / "results.json").write_text(json.dumps(document, indent=1))
        plot_goals(self.goals, folder / "results.png")


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` took."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def machine() -> dict[str, object]:
    """The machine and its load at the end of the run."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
