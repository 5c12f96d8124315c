"""Shares of Pulumi's commands: the engine, imports, the refresh and the program's own work.

CPU seconds of all processes, which stay the same on a busy machine. They count the engine, its
plugins, the program, and the program's Envoy and kubectl; not the API server.
"""

import json
import resource
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from bench.report import BenchReport, timed
from bench.rounds import rounds
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment

PROBE = Path(__file__).parent / "probe"
LINEAR = 1.1
"""Largest growth over a line."""

_COUNTS = (1, 20, 100)
_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Cost of one command."""

    wall: float
    """Elapsed time, s."""

    engine: float
    """CPU time of the engine and its plugins, s."""

    imports: float
    """CPU time of the program's imports, s."""

    program: float
    """CPU time of the rest of the program, with Pulumi's SDK in it, s."""

    tools: float
    """CPU time of the Envoy and kubectl that the program starts, s."""

    peak_mib: float
    """Peak memory of the program, MiB."""

    @property
    def ours(self) -> float:
        """CPU time of the program and its tools without the imports, s."""
        return self.program + self.tools

    @property
    def total(self) -> float:
        """CPU time of everything, s."""
        return self.engine + self.imports + self.ours


def shares_of(env: StackEnvironment, *command: str) -> Shares:
    """Run a Pulumi command, and return its cost."""
    file = env.state_dir / "probe.json"
    file.unlink(missing_ok=True)
    probed = replace(env, extra={**env.extra, "PYTHONPATH": str(PROBE), "BENCH_PROBE": str(file)})
    before = _children_seconds()
    wall = timed(lambda: pulumi.capture(probed, *command, "--stack", env.stack))
    total = _children_seconds() - before
    seen: dict[str, float] = json.loads(file.read_text())
    return Shares(
        wall=wall,
        engine=total - seen["python"] - seen["children"],
        imports=seen["imports"],
        program=seen["python"] - seen["imports"],
        tools=seen["children"],
        peak_mib=seen["peak_mib"],
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def median(runs: Sequence[Shares], read: Callable[[Shares], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(map(read, runs))


def preview_shares(report: BenchReport, env: StackEnvironment, repeats: int) -> None:
    """Split a preview of an applied stack without changes."""
    refreshed: list[Shares] = []
    plain: list[Shares] = []
    for _ in rounds("shares of a preview without changes", repeats, _SECONDS):
        refreshed.append(shares_of(env, "preview"))
        plain.append(shares_of(env, "preview", "--refresh=false"))
    table = Table("share", "CPU s", title="a preview of dev without changes")
    rows: Mapping[str, float] = {
        "engine and plugins": median(plain, lambda run: run.engine),
        "imports": median(plain, lambda run: run.imports),
        "refresh": median(refreshed, lambda run: run.total) - median(plain, lambda run: run.total),
        "ours: program": median(plain, lambda run: run.program),
        "ours: Envoy and kubectl": median(plain, lambda run: run.tools),
    }
    for name, seconds in rows.items():
        table.add_row(name, f"{seconds:.2f}")
    report.tables.append(table)
    report.sample("CPU of our share of a preview", "s", [run.ours for run in plain])
    report.sample("CPU of the imports of a preview", "s", [run.imports for run in plain])
    report.sample("CPU of the engine in a preview", "s", [run.engine for run in plain])


def scale(
    report: BenchReport,
    env: StackEnvironment,
    repeats: int,
    with_stacks: Callable[[str, int], str],
    counts: Sequence[int] = _COUNTS,
) -> None:
    """Preview many stacks from nothing; hold our time and the program's memory to a line."""
    original = env.stack_file.read_text()
    runs: dict[int, list[Shares]] = {count: [] for count in counts}
    try:
        for _ in rounds(f"preview of {counts} stacks, from nothing", repeats, _SECONDS):
            for count, found in runs.items():
                env.stack_file.write_text(with_stacks(original, count))
                found.append(shares_of(env, "preview"))
    finally:
        env.stack_file.write_text(original)
    figures: Mapping[str, tuple[str, Callable[[Shares], float]]] = {
        "our CPU": ("s", lambda run: run.ours),
        "memory of the program": ("MiB", lambda run: run.peak_mib),
        "CPU of the engine": ("s", lambda run: run.engine),
    }
    for name, (unit, read) in figures.items():
        for count, found in runs.items():
            report.sample(f"preview of {count} stacks, {name}", unit, list(map(read, found)))
        grown = growth({count: median(found, read) for count, found in runs.items()})
        if name.startswith("CPU of the engine"):
            report.sample(f"{name} of a preview, over a line", "x", [grown])
        else:
            report.at_most(f"{name} of a preview, over a line", grown, LINEAR, "x")


def growth(costs: Mapping[int, float]) -> float:
    """Return the largest cost over the line through the costs of the two smallest numbers."""
    (few, low), (more, high), *others = sorted(costs.items())
    each = (high - low) / (more - few)
    return max(cost / (low + each * (count - few)) for count, cost in others)
