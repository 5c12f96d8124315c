"""Overloads of several designs side by side: a table, JSON, a plot, and the stack's goals."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench.overload.plot import draw
from bench.overload.record import Record
from bench.report import BenchReport

READY_SECONDS = 30.0
CAPACITY_SHARE = 0.95

_START_SECONDS = 30
"""Length of the load's beginning over which all designs are compared."""


@dataclass(frozen=True)
class Figure:
    """A number that sums up one overload."""

    name: str
    unit: str
    read: Callable[[Record], float | None]
    """Function that returns the value, or None if the event did not happen."""
    nothing: float = math.inf
    """Value that a missing one counts as in a median: the worst."""

    def values(self, records: Sequence[Record]) -> list[float]:
        """Return the values of the records that have one."""
        return [value for record in records if (value := self.read(record)) is not None]

    def median(self, records: Sequence[Record]) -> float | None:
        """Return the median; None if the event mostly did not happen."""
        found = (self.read(record) for record in records)
        middle = statistics.median(self.nothing if v is None else v for v in found)
        return middle if math.isfinite(middle) else None

    def cell(self, records: Sequence[Record]) -> str:
        """Return the median, the spread, and the number of runs without the event, as text."""
        values, middle = self.values(records), self.median(records)
        words = "never" if middle is None else f"{middle:,.1f}"
        if values:
            words += f" ({min(values):,.1f} - {max(values):,.1f})"
        missing = len(records) - len(values)
        return f"{words}, not in {missing} of {len(records)}" if values and missing else words


def _start(record: Record) -> list[float]:
    pairs = zip(record.goodput.at, record.goodput.values, strict=True)
    return [value for at, value in pairs if at < _START_SECONDS]


ALL_READY = Figure("all ready after", "s", lambda record: record.all_ready_seconds)
MOST_READY = Figure(
    "most replicas ready", "", lambda record: max(step.ready for step in record.steps)
)
EARLY = Figure(
    "goodput while the fewest are ready", "/s", lambda record: record.goodput_at_least, -math.inf
)
FULL = Figure("goodput with all ready", "/s", lambda record: record.goodput_at_most, -math.inf)
WORST = Figure(
    "answered of the possible in the worst 5 s of the growth",
    "%",
    lambda record: None if record.worst_share is None else 100 * record.worst_share,
    -math.inf,
)
START = Figure(
    f"goodput of the first {_START_SECONDS} s",
    "/s",
    lambda record: statistics.fmean(_start(record)),
    -math.inf,
)
DARK = Figure(
    f"of the first {_START_SECONDS} s, without one answer",
    "s",
    lambda record: sum(value == 0 for value in _start(record)),
)
KILLED = Figure("connections killed", "", lambda record: record.killed)
LOST = Figure("calls lost", "", lambda record: record.lost)

FIGURES = (ALL_READY, MOST_READY, EARLY, FULL, WORST, START, DARK, KILLED, LOST)


def side_by_side(runs: Mapping[str, Sequence[Record]]) -> Table:
    """Return the medians and spreads of every design.

    Args:
        runs: Records by design.
    """
    count = max(map(len, runs.values()))
    title = f"under overload, median of {count} (least - greatest)"
    table = Table("", *runs, title=title)
    for figure in FIGURES:
        words = f"{figure.name}, {figure.unit}" if figure.unit else figure.name
        table.add_row(words, *(figure.cell(records) for records in runs.values()))
    return table


def write(folder: Path, runs: Mapping[str, Sequence[Record]], images: Mapping[str, str]) -> None:
    """Write `serving.json`, with every run, and `serving.png`, with the last of each design.

    Args:
        folder: The target.
        runs: Records by design.
        images: Image by role.
    """
    document = {
        "images": dict(images),
        "designs": {
            name: {
                "medians": {figure.name: figure.median(records) for figure in FIGURES},
                "runs": [record.as_dict() for record in records],
            }
            for name, records in runs.items()
        },
    }
    (folder / "serving.json").write_text(json.dumps(document, indent=1))
    draw(folder / "serving.png", [records[-1] for records in runs.values()])


def judge(report: BenchReport, name: str, records: Sequence[Record]) -> None:
    """Compare the stack with its goals.

    Args:
        report: Report that gets samples and goals.
        name: Name of the stack's design.
        records: Its runs.
    """
    for figure in FIGURES:
        if values := figure.values(records):
            report.sample(f"{name} under overload, {figure.name}", figure.unit, values)
    capacity = records[0].capacity_per_second
    full = FULL.median(records)
    ready = ALL_READY.median(records)
    report.at_most(f"{name}: all ready after overload begins", ready, READY_SECONDS, "s")
    report.at_least(
        f"{name}: goodput with all ready over the fleet's capacity",
        None if full is None else full / capacity,
        CAPACITY_SHARE,
        "x",
    )
    report.at_most(f"{name}: connections killed, all runs", sum(KILLED.values(records)), 0, "")
    report.at_most(f"{name}: calls lost, all runs", sum(LOST.values(records)), 0, "")
