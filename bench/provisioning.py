"""Cost of provisioning: against kubectl, again without changes, and with many stacks."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from bench.checkout import checkout
from bench.report import BenchReport, timed
from bench.rounds import rounds
from bench.shares import preview_shares, scale
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.modes import SIMULATED
from ops.render.render import render
from ops.stack import lifecycle, pulumi
from ops.stack.environment import StackEnvironment

UP_OVER_KUBECTL = 2.0
PREVIEW_SECONDS = 4.0
TWENTY_OVER_ONE = 25.0
PROGRAM_MIB = 200e6 / 2**20
"""200 MB."""
_MANY = 20
_UP_SECONDS = 360.0
_PREVIEW_SECONDS = 90.0
_MANY_SECONDS = 540.0
"""Longest repetition of a part; with the set-up all parts end in half an hour."""


def up(env: StackEnvironment) -> None:
    """Provision the stack without a question."""
    pulumi.capture(env, "up", "--stack", env.stack, "--yes", "--skip-preview")


def destroy(env: StackEnvironment) -> None:
    """Remove the stack without a question."""
    pulumi.capture(env, "destroy", "--stack", env.stack, "--yes", "--skip-preview")


def _kubectl(env: StackEnvironment, *arguments: str) -> str:
    cluster = Cluster(env.state_dir)
    return subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments],
        env=env.variables(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def up_against_kubectl(
    report: BenchReport, env: StackEnvironment, repeats: int, where: str
) -> float:
    """Provision dev by Pulumi and by kubectl, in turn; return the ratio of the medians.

    Args:
        report: Report that gets the samples.
        env: Dev, with a cluster that holds none of its objects.
        repeats: Runs of each.
        where: Description of the cluster.
    """
    folder = env.project / "rendered"
    render("dev", folder, project=env.project)
    ours: list[float] = []
    kubectl: list[float] = []
    for _ in rounds(f"kubectl apply and pulumi up, {where}", repeats, _UP_SECONDS):
        kubectl.append(timed(lambda: _apply_and_wait(env, folder)))
        _kubectl(env, "delete", "--wait", "-k", str(folder))
        ours.append(timed(lambda: up(env)))
        destroy(env)
    a = report.sample(f"pulumi up of dev from nothing, {where}", "s", ours)
    b = report.sample(f"kubectl apply of the same, and waiting, {where}", "s", kubectl)
    return a.median / b.median


def _up_simulated(report: BenchReport, env: StackEnvironment, repeats: int) -> None:
    # No goal: with pods that are ready at once this measures Pulumi's start, as a preview does.
    # `bench.serving` measures the time that a user waits, with pods that run.
    up_against_kubectl(report, env, repeats, "pods simulated")


def _apply_and_wait(env: StackEnvironment, folder: Path) -> None:
    """Apply the render, and wait for the rollouts, as Pulumi does."""
    _kubectl(env, "apply", "--server-side", "-k", str(folder))
    for name in ("deployment", "daemonset"):
        for file in sorted(folder.rglob(f"{name}-*.yaml")):
            metadata = yaml.safe_load(file.read_text())["metadata"]
            target = (f"{name}/{metadata['name']}", "-n", metadata["namespace"])
            _kubectl(env, "rollout", "status", *target, "--timeout=300s")


def _preview_without_changes(report: BenchReport, env: StackEnvironment, repeats: int) -> None:
    up(env)
    preview_shares(report, env, repeats)
    seconds: list[float] = []
    peaks: list[float] = []
    for _ in rounds("preview without changes", repeats, _PREVIEW_SECONDS):
        with _peak_of_program() as peak:
            seconds.append(timed(lambda: pulumi.capture(env, "preview", "--stack", env.stack)))
        peaks.append(peak[0])
    a = report.sample("preview of dev without changes", "s", seconds)
    b = report.sample("memory of the dev program, peak", "MiB", peaks)
    report.at_most("preview without changes", a.median, PREVIEW_SECONDS, "s")
    report.at_most("memory of the dev program", b.median, PROGRAM_MIB, "MiB")
    destroy(env)


@contextmanager
def _peak_of_program() -> Generator[list[float]]:
    """Watch the Python program that the engine starts; yield its peak resident memory, MiB."""
    peak = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for process in psutil.Process(os.getpid()).children(recursive=True):
                try:
                    if "pulumi-language-python-exec" in " ".join(process.cmdline()):
                        status = Path(f"/proc/{process.pid}/status").read_text()
                        line = next(x for x in status.splitlines() if x.startswith("VmHWM"))
                        peak[0] = max(peak[0], int(line.split()[1]) / 1024)
                except (psutil.Error, OSError, StopIteration):
                    continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _many_stacks(report: BenchReport, env: StackEnvironment, repeats: int) -> None:
    original = env.stack_file.read_text()
    cost: dict[int, list[float]] = {1: [], _MANY: []}
    try:
        for _ in rounds(f"up of 1 and of {_MANY} stacks, from nothing", repeats, _MANY_SECONDS):
            for count, seconds in cost.items():
                env.stack_file.write_text(with_stacks(original, count))
                lifecycle.start_cluster(env)
                seconds.append(timed(lambda: up(env)))
                destroy(env)
    finally:
        env.stack_file.write_text(original)
    one = report.sample("up of one inference stack", "s", cost[1])
    many = report.sample(f"up of {_MANY} inference stacks", "s", cost[_MANY])
    report.at_most(f"{_MANY} stacks over one", many.median / one.median, TWENTY_OVER_ONE, "x")


def with_stacks(text: str, count: int) -> str:
    """Return the stack file with `count` small inference stacks, and nodes for them."""
    document = yaml.safe_load(text)
    document["config"]["kubemind-inference:inference"] = [
        {
            "namePrefix": f"s{number}-",
            "namespace": f"ai-namespace-{number}",
            "autoscaler": {"minReplicas": 2, "maxReplicas": 3},
        }
        for number in range(count)
    ]
    nodes = document["config"].get("kubemind-inference:gpuNodes", {"kind": "existing"})
    nodes = json.loads(json.dumps(nodes))
    # The same nodes for one and for twenty, so that nodes make no difference.
    size = max(_MANY, count) + 4
    document["config"]["kubemind-inference:gpuNodes"] = {**nodes, "maxSize": size}
    cpu_nodes = 8 if count <= _MANY else count
    document["config"]["kubemind-inference:platform"] = {"kind": "local", "cpuNodes": cpu_nodes}
    return yaml.safe_dump(document)


def _preview_scale(report: BenchReport, env: StackEnvironment, repeats: int) -> None:
    scale(report, env, repeats, with_stacks)


PARTS: Mapping[str, Callable[[BenchReport, StackEnvironment, int], None]] = {
    "up": _up_simulated,
    "preview": _preview_without_changes,
    "scale": _preview_scale,
    "stacks": _many_stacks,
}
"""Parts of the benchmark, the quickest and most telling first."""


def run(report: BenchReport, repeats: int, only: Collection[str] = tuple(PARTS)) -> None:
    """Measure parts of `PARTS`, each `repeats` times or as often as time allows."""
    toolchain.ensure("cli", "cluster")
    # Measure the cost of Pulumi and the API server, not of containers.
    with checkout(SIMULATED) as env:
        lifecycle.prepare(env)
        for name, measure in PARTS.items():
            if name in only:
                measure(report, env, repeats)
