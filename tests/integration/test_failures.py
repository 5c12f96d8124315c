"""Failures: each gives one clear message, or is repaired; nothing is half-applied.

On a real engine, provider and API server with simulated nodes.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_cluster.cluster import Cluster
from ops.stack.environment import PROJECT
from ops.stack.orphans import orphans
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout

TRITON = "triton-inference-deployment"
SCALER = "triton-inference-scaler"


def _objects(checkout: Checkout) -> int:
    listed = checkout.kubectl("get", "configmap,deployment,service,pdb", "-A", "-o", "name")
    return len(listed.stdout.splitlines())


@contextmanager
def no_pod_starts(checkout: Checkout) -> Iterator[None]:
    """Hold an `up` half-way: no Deployment that it makes is complete."""
    everywhere = "--selector=!nowhere"
    checkout.kubectl("cordon", everywhere).ok()
    try:
        yield
    finally:
        checkout.kubectl("uncordon", everywhere).ok()


@contextmanager
def triton_stays(checkout: Checkout) -> Iterator[None]:
    """Hold a `destroy` half-way: one of its Deployments does not go."""

    def finalizers(names: list[str]) -> None:
        patch = json.dumps({"metadata": {"finalizers": names}})
        checkout.kubectl(
            "-n", "ai-namespace", "patch", "deployment", TRITON, "--type=merge", "-p", patch
        ).ok()

    finalizers(["example.com/stays"])
    try:
        yield
    finally:
        finalizers([])


def killed_half_way(
    checkout: Checkout, command: str, reached: Callable[[], bool], victim_signal: signal.Signals
) -> None:
    """Start one of make's commands, and send it and all that it started a signal on the way."""
    process = subprocess.Popen(
        [str(PROJECT / ".venv/bin/python"), "-m", "ops", command],
        cwd=checkout.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(f"half of {command}", reached, 120)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, victim_signal)
        process.wait()


@pytest.mark.parametrize("victim_signal", [signal.SIGKILL, signal.SIGINT])
def test_up_killed_half_way_converges_when_run_again_and_destroy_leaves_nothing(
    empty: Checkout, victim_signal: signal.Signals
) -> None:
    before = empty.objects()
    made = _objects(empty)
    with no_pod_starts(empty):
        killed_half_way(empty, "up", lambda: _objects(empty) > made + 1, victim_signal)
    empty.up().ok()
    assert empty.preview_steps() == {}
    exported = json.loads(empty.pulumi("stack", "export").ok().stdout)
    assert not exported["deployment"].get("pending_operations")
    assert orphans(empty.env.pulumi_home.resolve()) == []
    assert len(empty.objects() - before) > 10
    empty.ops("destroy").ok()
    assert empty.objects() - before == set()


def test_destroy_killed_half_way_leaves_nothing_when_run_again(empty: Checkout) -> None:
    before = empty.objects()
    empty.up().ok()
    made = _objects(empty)
    with triton_stays(empty):
        killed_half_way(empty, "destroy", lambda: _objects(empty) < made, signal.SIGKILL)
    assert empty.objects() - before
    empty.ops("destroy").ok()
    assert empty.objects() - before == set()
    assert orphans(empty.env.pulumi_home.resolve()) == []


def test_a_lock_of_a_dead_process_is_released(provisioned: Checkout) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    locks = provisioned.env.backend_dir / ".pulumi/locks/organization/kubemind-inference/dev"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "00000000-0000-4000-8000-000000000000.json"
    held = {
        "pid": dead.pid,
        "username": "someone",
        "hostname": socket.gethostname(),
        "timestamp": "2026-01-01T00:00:00Z",
    }
    lock.write_text(json.dumps(held))
    # The engine itself takes the lock for real: without healing, nothing goes.
    assert "currently locked" in provisioned.pulumi("up", "--yes").failed().output
    assert "released the lock of a dead process" in provisioned.up().ok().output
    assert not lock.exists()


def test_a_lock_of_a_live_process_is_kept(provisioned: Checkout) -> None:
    locks = provisioned.env.backend_dir / ".pulumi/locks/organization/kubemind-inference/dev"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "00000000-0000-4000-8000-000000000001.json"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    lock.write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "username": "someone",
                "hostname": socket.gethostname(),
                "timestamp": now,
            }
        )
    )
    try:
        assert "currently locked" in provisioned.up().failed().output
        assert lock.exists()
    finally:
        lock.unlink()


def test_a_checkpoint_cut_short_is_restored(provisioned: Checkout) -> None:
    [checkpoint] = (provisioned.env.backend_dir / ".pulumi/stacks").rglob("dev.json")
    whole = checkpoint.read_text()
    checkpoint.write_text(whole[: len(whole) // 2])
    # Bare Pulumi cannot read it: without healing, nothing goes.
    provisioned.pulumi("stack", "export").failed()
    assert "restored the state" in provisioned.up().ok().output
    assert provisioned.preview_steps() == {}
    assert json.loads(checkpoint.read_text())


def test_the_state_of_a_cluster_that_is_gone_is_dropped(provisioned: Checkout) -> None:
    Cluster(provisioned.env.state_dir).down()
    assert not provisioned.kubeconfig.exists()
    assert (
        "dropped the state of a local cluster that no longer exists" in provisioned.up().ok().output
    )
    provisioned.kubectl("-n", "ai-namespace", "get", "scaledobject", SCALER).ok()
    provisioned.kubectl("-n", "ai-namespace", "rollout", "status", "deployment", TRITON).ok()
    assert provisioned.preview_steps() == {}


def test_a_wrong_passphrase_is_one_message(provisioned: Checkout) -> None:
    ran = provisioned.pulumi("preview", env={"PULUMI_CONFIG_PASSPHRASE": "wrong"}).failed()
    assert ran.output.count("incorrect passphrase") == 1


def _platform(path: Path | str, context: str | None = None) -> dict[str, object]:
    return {"kind": "kubeconfig", "path": str(path), **({"context": context} if context else {})}


def test_an_unreachable_cluster_is_one_message(provisioned: Checkout, tmp_path: Path) -> None:
    kubeconfig = provisioned.kubeconfig.read_text()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        lines = [
            f"    server: https://127.0.0.1:{port}" if "server:" in line else line
            for line in kubeconfig.splitlines()
        ]
        (tmp_path / "kubeconfig").write_text("\n".join(lines))
        provisioned.set_platform(**_platform(tmp_path / "kubeconfig"))
        # Pulumi refuses to ask where there is no terminal.
        for command in (("preview",), ("up", "--yes")):
            ran = provisioned.ops(*command).failed()
            assert ran.output.count("platform.path") == 1
            assert f"127.0.0.1:{port}" in ran.output


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (None, None, "cannot be read: No such file"),
        ("not: [yaml", None, "cannot be read: it is not a kubeconfig"),
        (
            "apiVersion: v1\nkind: Config\n",
            "elsewhere",
            "has no context 'elsewhere'; its contexts: none",
        ),
    ],
    ids=["missing", "malformed", "no-context"],
)
def test_a_bad_kubeconfig_is_one_message(
    provisioned: Checkout, tmp_path: Path, content: str | None, context: str | None, said: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    provisioned.set_platform(**_platform(file, context))
    ran = provisioned.ops("preview").failed()
    for once in (said, "preflight: the kubeconfig ", f"platform.path = {file}"):
        assert " ".join(ran.output.split()).count(once) == 1, ran.output


def test_missing_keda_crds_are_one_message(empty: Checkout) -> None:
    empty.delete_definitions("scaledobjects.keda.sh")
    # Bare pulumi, because make would put the local cluster right first.
    empty.env.backend_dir.mkdir(parents=True, exist_ok=True)
    empty.pulumi("stack", "select", "dev", "--create").ok()
    ran = empty.pulumi("up", "--yes", "--skip-preview").failed()
    assert ran.output.count("does not serve scaledobjects.keda.sh") == 1, ran.output
    assert ran.output.count("set keda.kind to helm") == 1, ran.output
    namespaces = empty.kubectl("get", "namespaces", "-o", "name").ok().stdout
    assert "ai-namespace" not in namespaces
    empty.up().ok()
    empty.ops("destroy").ok()


def test_refused_parameters_touch_nothing(checkout: Checkout) -> None:
    checkout.set_config(
        inference=[{"autoscaler": {"signal": {"kind": "inFlight"}, "threshold": 40}}]
    )
    ran = checkout.up().failed()
    assert "inference[0].autoscaler" in ran.output
    assert not checkout.kubeconfig.exists()


def test_bare_pulumi_refuses_what_make_refuses(provisioned: Checkout) -> None:
    provisioned.set_config(
        inference=[{"autoscaler": {"signal": {"kind": "inFlight"}, "threshold": 40}}]
    )
    by_make = provisioned.ops("preview").failed().output
    by_pulumi = provisioned.pulumi("preview").failed().output
    problem = next(line for line in by_make.splitlines() if "reach" in line)
    assert problem.strip() in by_pulumi
