"""What provisioning costs: against kubectl, again without changes, and with many stacks."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

import toolchain
from local.cluster import Cluster
from local.modes import MODE_VARIABLE, SIMULATED
from ops import pulumi, render, stack
from ops.bench.measure import Report, console, timed
from ops.environment import PROJECT, StackEnvironment

UP_OVER_KUBECTL = 2.0
PREVIEW_SECONDS = 4.0
TWENTY_OVER_ONE = 25.0
PROGRAM_MIB = 200e6 / 2**20
"""200 MB."""
_MANY = 20
_FOLDER = PROJECT / ".state" / "bench"
"""A fixed place, so that the next run clears away what a killed one left."""


def run(report: Report, repeats: int) -> None:
    """Measure all of it, each `repeats` times."""
    # What Pulumi and the API server cost, not what containers do.
    os.environ[MODE_VARIABLE] = SIMULATED.name
    toolchain.ensure("cli", "cluster")
    with _checkout() as env:
        _up_against_kubectl(report, env, repeats)
        _preview_without_changes(report, env, repeats)
        _many_stacks(report, env, repeats)


@contextmanager
def _checkout(project: Path = _FOLDER) -> Generator[StackEnvironment]:
    """A copy of the program with a cluster and a state of its own; both are gone afterwards."""
    _clear(project)
    try:
        for name in ("components", "config", "models"):
            shutil.copytree(PROJECT / name, project / name)
        for name in ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml", "pyproject.toml", "uv.lock"):
            shutil.copy2(PROJECT / name, project / name)
        (project / ".venv").symlink_to(PROJECT / ".venv")
        env = StackEnvironment(stack="dev", project=project)
        stack.prepare(env)
        yield env
    finally:
        _clear(project)


def _clear(project: Path) -> None:
    Cluster(project / ".state").down()
    shutil.rmtree(project, ignore_errors=True)


def _up(env: StackEnvironment) -> None:
    pulumi.capture(env, "up", "--stack", env.stack, "--yes", "--skip-preview")


def _destroy(env: StackEnvironment) -> None:
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


def _up_against_kubectl(report: Report, env: StackEnvironment, repeats: int) -> None:
    console.print(f"up of dev from nothing, against kubectl apply ({repeats} times each, in turn)")
    folder = env.project / "rendered"
    render.render("dev", folder, project=env.project)
    ours: list[float] = []
    kubectl: list[float] = []
    for _ in range(repeats):
        kubectl.append(timed(lambda: _apply_and_wait(env, folder)))
        _kubectl(env, "delete", "--wait", "-k", str(folder))
        ours.append(timed(lambda: _up(env)))
        _destroy(env)
    a = report.sample("pulumi up of dev from nothing", "s", ours)
    b = report.sample("kubectl apply of the same, and waiting", "s", kubectl)
    report.goal("up over kubectl", a.median / b.median, UP_OVER_KUBECTL, "x")


def _apply_and_wait(env: StackEnvironment, folder: Path) -> None:
    """Apply the render, and wait for what Pulumi waits for: the roll-outs."""
    _kubectl(env, "apply", "--server-side", "-k", str(folder))
    for name in ("deployment", "daemonset"):
        for file in sorted(folder.rglob(f"{name}-*.yaml")):
            metadata = yaml.safe_load(file.read_text())["metadata"]
            target = (f"{name}/{metadata['name']}", "-n", metadata["namespace"])
            _kubectl(env, "rollout", "status", *target, "--timeout=300s")


def _preview_without_changes(report: Report, env: StackEnvironment, repeats: int) -> None:
    console.print(f"preview without changes ({repeats} times)")
    _up(env)
    seconds: list[float] = []
    peaks: list[float] = []
    for _ in range(repeats):
        with _peak_of_program() as peak:
            seconds.append(timed(lambda: pulumi.capture(env, "preview", "--stack", env.stack)))
        peaks.append(peak[0])
    a = report.sample("preview of dev without changes", "s", seconds)
    b = report.sample("memory of the dev program, peak", "MiB", peaks)
    report.goal("preview without changes", a.median, PREVIEW_SECONDS, "s")
    report.goal("memory of the dev program", b.median, PROGRAM_MIB, "MiB")
    _destroy(env)


@contextmanager
def _peak_of_program() -> Generator[list[float]]:
    """Watch the Python program that the engine starts; its peak resident memory, MiB."""
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


def _many_stacks(report: Report, env: StackEnvironment, repeats: int) -> None:
    console.print(f"up of 1 and of {_MANY} inference stacks from nothing ({repeats} times each)")
    original = env.stack_file.read_text()
    cost: dict[int, list[float]] = {1: [], _MANY: []}
    try:
        for count in cost:
            env.stack_file.write_text(_with_stacks(original, count))
            stack.start_cluster(env)
            for _ in range(repeats):
                cost[count].append(timed(lambda: _up(env)))
                _destroy(env)
    finally:
        env.stack_file.write_text(original)
    one = report.sample("up of one inference stack", "s", cost[1])
    many = report.sample(f"up of {_MANY} inference stacks", "s", cost[_MANY])
    report.goal(f"{_MANY} stacks over one", many.median / one.median, TWENTY_OVER_ONE, "x")


def _with_stacks(text: str, count: int) -> str:
    """The stack file with `count` small inference stacks, and nodes that hold them."""
    document = yaml.safe_load(text)
    document["config"]["kubemind-inference:inference"] = [
        {
            "namePrefix": f"s{number}-",
            "namespace": f"ai-namespace-{number}",
            "autoscaler": {"minReplicas": 2, "maxReplicas": 3},
        }
        for number in range(count)
    ]
    nodes = json.loads(json.dumps(document["config"].get("kubemind-inference:gpuNodes", {})))
    # Both counts run on the same nodes, so that the nodes do not tell them apart.
    document["config"]["kubemind-inference:gpuNodes"] = {**nodes, "maxSize": _MANY + 4}
    document["config"]["kubemind-inference:platform"] = {"kind": "local", "cpuNodes": 8}
    return yaml.safe_dump(document)
