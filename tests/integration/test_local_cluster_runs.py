"""Runs that are cut short, that meet one another, or that have no room, and what `down` leaves.

On the real control plane. Not proved here: what a power cut does to data that the disk had not
yet taken.
"""

import gc
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from lightkube.resources.core_v1 import Node

from config.settings import Settings
from local_cluster import processes
from local_cluster.cluster import Cluster
from local_cluster.errors import LocalClusterError
from local_cluster.record import Record
from ops.stack.cluster_spec import cluster_spec
from tests.envoy.harness.waiting import wait_until
from tests.integration.local_runs import runs_once, start_up


@pytest.fixture(autouse=True)
def no_mode_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL", raising=False)


def test_two_ups_at_once_make_one_cluster(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state")
    ups = [start_up(cluster.paths.state_dir) for _ in range(2)]
    try:
        said = [up.communicate(timeout=120) for up in ups]
        assert [up.returncode for up in ups] == [0, 0], said
        assert said[0][0] == said[1][0] != ""
        assert sum("waiting for another run" in errors for _, errors in said) == 1
        assert runs_once(cluster)
    finally:
        cluster.down()


def test_up_killed_at_any_point_of_the_making_is_healed_by_the_next(tmp_path: Path) -> None:
    """One run after the other is killed, each at a later point; kwokctl itself is left behind."""
    cluster = Cluster(tmp_path / "state")
    paths = cluster.paths

    def runs(name: str) -> Callable[[], bool]:
        # Not any process of that name: kwokctl asks each for its version first.
        return paths.pid_file_of(name).exists

    points: dict[str, Callable[[], bool]] = {
        "the configuration is written": paths.kwokctl_config.exists,
        "kwokctl runs": lambda: processes.LAUNCHER in processes.find(paths.root),
        "half the certificates are there": (paths.pki / "ca.crt").exists,
        "etcd runs": runs("etcd"),
        "the controller manager runs": runs("kube-controller-manager"),
        "the kubeconfig is there": paths.kubeconfig.exists,
        # Its nodes and resource definitions come after that, and are not waited for here.
        "it is recorded": paths.record.exists,
    }
    try:
        for point, reached in points.items():
            up = start_up(paths.state_dir)
            wait_until(point, lambda r=reached, up=up: r() or up.poll() is not None, 120)
            assert up.poll() is None, up.communicate()
            up.kill()
            up.communicate()
            # The next run must reach it again.
            if not paths.record.exists():
                paths.kubeconfig.unlink(missing_ok=True)
                paths.kwokctl_config.unlink(missing_ok=True)
                shutil.rmtree(paths.pki, ignore_errors=True)
        cluster.up(cluster_spec(Settings()))
        assert runs_once(cluster)
        assert len(list(cluster.client().list(Node))) == 8
    finally:
        cluster.down()


def mentions(folder: Path) -> list[str]:
    """Commands of live processes that have to do with a folder."""
    commands = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(folder) in command]


def listening() -> set[int]:
    return {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


def test_a_second_cluster_stands_beside_the_first_and_its_down_leaves_nothing(
    bare_cluster: Cluster,
    tmp_path: Path,
    foreign: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, scratch = tmp_path / "a second", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    first = bare_cluster.components()
    second = Cluster(state)
    assert second.up(cluster_spec(Settings())).cluster_id != bare_cluster.cluster_id()
    assert second.record is not None
    ports = set(second.record.ports.values())
    assert ports <= listening()
    assert bare_cluster.record is not None
    assert not ports & set(bare_cluster.record.ports.values())
    second.paths.pid_file_of("etcd").write_text(str(foreign.pid))

    assert len(mentions(state)) == len(second.components())

    assert second.down()
    assert not state.exists()
    assert mentions(state) == []
    gc.collect()
    assert list(scratch.iterdir()) == []
    assert not ports & listening()
    assert not second.is_running
    assert foreign.poll() is None
    assert bare_cluster.is_running
    assert bare_cluster.components() == first
    assert not second.down()
    assert not state.exists()


def test_down_ends_what_an_interrupted_up_left(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state")
    up = start_up(cluster.paths.state_dir)
    wait_until("kwokctl runs", lambda: "kwokctl" in processes.find(cluster.paths.root), 120)
    up.kill()
    up.communicate()
    assert cluster.down()
    assert processes.find(cluster.paths.root) == {}
    assert not cluster.paths.state_dir.exists()


def test_too_little_disk_is_one_message_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path / "state")
    monkeypatch.setattr("local_cluster.cluster.NEEDED_MIB", 2**40)
    with pytest.raises(LocalClusterError, match="not enough disk for the local cluster"):
        cluster.up(cluster_spec(Settings()))
    assert not cluster.paths.root.exists()
    assert Record.read(cluster.paths.record) is None
