"""Fleets under overload: the stack's and the baseline's, in one run."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from lightkube.core.exceptions import ApiError

from bench import comparison, provisioning, routing
from bench.baseline.bed import baseline_bed
from bench.baseline.documents import VARIANTS, Variant
from bench.checkout import checkout
from bench.overload.locked import locked
from bench.overload.overload import Load, Meanwhile, overload
from bench.overload.record import Record
from bench.overload.stack_bed import stack_bed
from bench.overload.summary_burst import burst
from bench.report import BenchReport, console, timed
from config.base import PROJECT
from config.settings import Settings
from eventflow.errors import EventFlowError
from local_cluster import toolchain
from local_cluster.modes import SERVING
from local_cluster.serving import machine
from ops.errors import OpsError
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment
from ops.stack.serving import infer, wait_for_scaler

OURS, LOCKED_OURS = "this stack", "this stack behind a locked door"

SERVED_SECONDS = 120.0

BURST_SHARE = 0.95
"""Share of the burst that the capacity summary predicts for the whole fleet."""

_NICENESS = 10
"""Niceness of every design's client, which shares two cores with the fleet."""

_LOAD = Load(niceness=_NICENESS, shrink_seconds=300.0)
"""Load on this stack, whose fleet must shrink before the next run."""

_BASELINE_LOAD = Load(niceness=_NICENESS, grow_seconds=60.0)
"""Load on the baseline, which is removed after each run."""

_SCALER = {"cooldownSeconds": 45, "scaleDown": {"pods": 20, "periodSeconds": 15}}
"""Differences from dev; they affect only the shrinking of the fleet, after the measurement."""


def require() -> None:
    """Refuse a machine that cannot run the cluster that serves.

    Raises:
        OpsError: The machine cannot; the message names the missing prerequisite.
    """
    if what := machine.missing_prerequisites():
        raise OpsError(f"the serving benchmark needs {what}")


def run(report: BenchReport, repeats: int, out: Path) -> None:
    """Overload each design `repeats` times, in turn.

    Args:
        report: Report that gets the stack's figures and goals.
        repeats: Runs of each.
        out: Folder for the records and the plot; written after each run.

    Raises:
        OpsError: The machine cannot run the cluster, or a design did not become ready.
    """
    require()
    toolchain.ensure("cli", *SERVING.tools)
    out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Record]] = {}
    bursts: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, checkout(SERVING) as env:
        console.print("making a local cluster that serves, and dev on it")
        served = report.sample(
            "from nothing to an answered call", "s", [timed(lambda: _provision(env))]
        )
        settings = lifecycle.read_settings(env)
        images = _images(settings)
        routing.follow(report, env, settings.inference[0], Path(scratch))
        for repeat in range(1, repeats + 1):
            for name, measured in _designs(env, settings, Path(scratch), bursts).items():
                console.print(f"{name}: run {repeat} of {repeats}")
                try:
                    record = measured()
                except (TimeoutError, EventFlowError, ApiError) as error:
                    raise OpsError(f"{name}: {error}") from error
                console.print(record.table())
                runs.setdefault(name, []).append(record)
                comparison.write(out, runs, images)
        provisioning.destroy(env)
        over_kubectl = provisioning.up_against_kubectl(report, env, repeats, "pods real")
    report.tables.append(comparison.side_by_side(runs))
    report.at_most("from nothing to an answered call", served.median, SERVED_SECONDS, "s")
    for name in (OURS, LOCKED_OURS):
        comparison.judge(report, name, runs[name])
    title = "burst to the whole fleet, answered over predicted"
    middle = report.sample(title, "x", bursts).median if bursts else None
    report.at_least(title, middle, BURST_SHARE, "x")
    report.at_most("up over kubectl", over_kubectl, provisioning.UP_OVER_KUBECTL, "x")


def _provision(env: StackEnvironment) -> None:
    document = yaml.safe_load(env.stack_file.read_text())
    for inference in document["config"][f"{PROJECT}:inference"]:
        inference["autoscaler"] = {**inference.get("autoscaler", {}), **_SCALER}
    env.stack_file.write_text(yaml.safe_dump(document))
    settings = lifecycle.prepare(env)
    provisioning.up(env)
    wait_for_scaler(env, settings, console.print)
    infer(env, settings)


def _designs(
    env: StackEnvironment, settings: Settings, scratch: Path, bursts: list[float]
) -> Mapping[str, Callable[[], Record]]:
    """Return a function that overloads a design, by the design's name.

    The stack's own also sends the burst of the capacity summary to the whole fleet, while the
    cooldown keeps it, and appends the answered share of the predicted to `bursts`.
    """

    def ours() -> Record:
        bed = stack_bed(env, settings, OURS)

        def send() -> None:
            bursts.append(burst(bed, settings.inference[0], bed.most, scratch).share)

        return overload(bed, _LOAD, scratch, console.print, Meanwhile(when_spent=send))

    def baseline(variant: Variant) -> Record:
        with baseline_bed(env, settings, variant, console.print) as bed:
            return overload(bed, _BASELINE_LOAD, scratch, console.print)

    def behind_a_locked_door() -> Record:
        with locked(env, settings, scratch) as options:
            bed = replace(stack_bed(env, settings, LOCKED_OURS), options=options)
            return overload(bed, _LOAD, scratch, console.print)

    theirs = {v.title: lambda v=v: baseline(v) for v in VARIANTS}
    return {OURS: ours, LOCKED_OURS: behind_a_locked_door, **theirs}


def _images(settings: Settings) -> dict[str, str]:
    first = settings.inference[0]
    return {"gateway": first.gateway.image, "model server": first.triton.image}
