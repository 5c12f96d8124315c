from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench import issuing, provisioning, serving
from bench.report import BenchReport
from bench.rivals import door, rivals
from local_cluster.serving import machine
from ops.cli import command


class Benchmark(StrEnum):
    """A benchmark that `bench` can run."""

    PROVISIONING = "provisioning"
    EVENTFLOW = "eventflow"
    RIVALS = "rivals"
    DOOR = "door"
    SERVING = "serving"


@command("bench")
def bench(
    only: Annotated[
        list[Benchmark] | None, typer.Option(help="Benchmark to run; repeat it for more.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each benchmark.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for JSON and plots.")] = Path("build/bench"),
) -> None:
    """Run the benchmarks; exit with 1 if a goal is missed."""
    if only and Benchmark.SERVING in only:
        # Refuse before the other benchmarks run for an hour.
        serving.require()
    report = BenchReport()
    wanted = set(only or Benchmark)
    try:
        if Benchmark.PROVISIONING in wanted:
            provisioning.run(report, repeats)
        if Benchmark.EVENTFLOW in wanted:
            issuing.run(report, repeats)
        if Benchmark.RIVALS in wanted:
            rivals.run(report, repeats, out)
        if Benchmark.DOOR in wanted:
            door.run(report, repeats, out)
        if Benchmark.SERVING in wanted:
            if missing := machine.missing_prerequisites():
                # `up` is compared with kubectl only where pods run.
                report.leave_out("serving, and the goal of up against kubectl", missing)
            else:
                serving.run(report, repeats, out)
    finally:
        # Keep the figures of an hour if the last benchmark fails.
        report.show()
        report.write(out)
    raise SystemExit(0 if all(goal.met for goal in report.goals) else 1)
