"""All designs under all loads in one run, with the goals of this stack."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bench.report import BenchReport, console, machine
from bench.rivals import gateways
from bench.rivals.designs import DESIGNS, DIRECT, OURS, Design
from bench.rivals.figures import Figures
from bench.rivals.loads import LOADS, Load
from bench.rivals.plot import plot

Results = dict[str, dict[str, list[Figures]]]
"""Figures of each run, by load and design."""

_COLUMNS = {
    "share": "share of the possible",
    "worst 5 s": "share, worst 5 s",
    "settled": "share after the growth",
    "answer p50": "answer p50, s",
    "answer p99": "answer p99, s",
    "refusal p99": "refusal p99, s",
    "back after": "back after, s",
    "killed": "connections killed",
    "lost": "calls lost",
    "gateway CPU": "gateway CPU, s",
    "gateway CPU a call": "gateway CPU a call, s",
    "gateway CPU a refusal": "gateway CPU a refusal, s",
    "most loaded": "most loaded / mean",
    "small OK": "small caller OK",
    "small p99 alone": "its p99 alone, s",
    "small p99 beside": "beside the large, s",
    "small over alone": "beside / alone",
}
_ADDED_SECONDS = 0.0005
_LEAST_SHARE = 0.95
_WORST_OVER_QUIET = 0.6
_BACK_SECONDS = 1.0
_SLOW_OVER_ALONE = 2.0


def run(
    report: BenchReport,
    repeats: int,
    out: Path,
    designs: Sequence[Design] = DESIGNS,
    loads: Sequence[Load] = LOADS,
) -> None:
    """Measure each design under each load, in turn, and compare the medians with the goals.

    Args:
        report: Report that gets tables, samples and goals.
        repeats: Runs of each.
        out: Folder for JSON and the plot.
        designs: Designs to compare.
        loads: Loads to compare them under.
    """
    results = measure(repeats, designs, loads)
    out.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "results": results}
    (out / "rivals.json").write_text(json.dumps(document, indent=1))
    report.tables += [table(name, found) for name, found in results.items()]
    plot(results, out / "rivals.png")
    judge(report, results)
    gateways.run(report, repeats)


def measure(repeats: int, designs: Sequence[Design], loads: Sequence[Load]) -> Results:
    """Measure each design under each load, in turn; say each result at once.

    Args:
        repeats: Runs of each.
        designs: Designs to compare.
        loads: Loads to compare them under.
    """
    results: Results = {
        load.name: {design.name: [] for design in designs if load.concerns(design)}
        for load in loads
    }
    for repeat in range(repeats):
        for load in loads:
            for design in filter(load.concerns, designs):
                with tempfile.TemporaryDirectory() as folder:
                    figures = load.run(design, Path(folder))
                results[load.name][design.name].append(figures)
                said = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
                console.print(f"  {repeat + 1}: {load.name}; {design.name}: {said}")
    return results


def median(runs: Sequence[Figures], column: str) -> float | None:
    """Return the median of a figure; None where no run has it."""
    values = [figures[column] for figures in runs if column in figures]
    return statistics.median(values) if values else None


def table(name: str, found: dict[str, list[Figures]]) -> Table:
    """Return the table of one load: median, and least to greatest where they differ."""
    shown = [key for key in _COLUMNS if any(key in one for runs in found.values() for one in runs)]
    made = Table("design", *(_COLUMNS[key] for key in shown), title=name)
    for design, runs in found.items():
        made.add_row(design, *(_cell(runs, key) for key in shown))
    return made


def _cell(runs: Sequence[Figures], column: str) -> str:
    middle = median(runs, column)
    if middle is None:
        return "n/a"
    values = [figures[column] for figures in runs if column in figures]
    spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
    return f"{middle:.3g}{spread}"


def judge(report: BenchReport, results: Results) -> None:
    """Compare this stack's figures with the goals, and with the best of the others."""
    quiet = median(results["burst, quiet"][OURS], "answered")
    for name, found in results.items():
        mine, rivals = found[OURS], {key: runs for key, runs in found.items() if key != OURS}
        if name.startswith("burst"):
            best = max(filter(None, (median(runs, "answered") for runs in rivals.values())))
            report.at_least(f"{name}: answers over the best rival's", _ratio(mine, best), 1.0, "x")
            if quiet:
                worst = min(figures["answered"] for figures in mine) / quiet
                words = f"{name}: worst run over the median of quiet ones"
                report.at_least(words, worst, _WORST_OVER_QUIET, "x")
            report.at_most(f"{name}: calls lost", median(mine, "lost"), 0, "calls")
        if name == "burst, quiet":
            report.at_least(f"{name}: share", median(mine, "share"), _LEAST_SHARE, "")
        worst, settled = median(mine, "worst 5 s"), median(mine, "settled")
        if worst is not None:
            # The fleet's start is told apart: the bed itself answers a little less than it could.
            words = f"{name}: worst 5 s" + ("" if settled is None else ", over the share after it")
            report.at_least(words, worst / (settled or 1), _LEAST_SHARE, "")
        if "stopped" in name:
            report.at_most(f"{name}: back", median(mine, "back after"), _BACK_SECONDS, "s")
            report.at_most(f"{name}: connections killed", median(mine, "killed"), 0, "")
        if "/s" in name:
            p99, direct = median(mine, "answer p99"), median(found[DIRECT], "answer p99")
            if p99 is not None and direct is not None:
                report.at_most(f"{name}: added to p99", p99 - direct, _ADDED_SECONDS, "s")
    alone = median(results["60 %, no slow replica"][OURS], "answer p99")
    slow = median(results["60 %, one slow replica"][OURS], "answer p99")
    if alone and slow:
        report.at_most("p99 with one slow replica", slow / alone, _SLOW_OVER_ALONE, "x")


def _ratio(runs: Sequence[Figures], best: float) -> float | None:
    mine = median(runs, "answered")
    return None if mine is None else mine / best
