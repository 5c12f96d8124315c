"""The local cluster after kills, reboots and interruptions, with the real processes killed.

A reboot is played: every process is gone at once and the numbers in the pid files belong to
others. Not proved here: what a power cut does to data that the disk had not yet taken.
"""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from lightkube.resources.core_v1 import ConfigMap, Node, Pod

from config.base import PROJECT_FOLDER
from config.settings import Settings
from local import processes
from local.cluster import Cluster
from local.errors import LocalClusterError
from local.record import Record
from tests.envoy.harness.waiting import wait_until

UP = """
import sys
from pathlib import Path
from config.base import PROJECT_FOLDER
from config.settings import Settings
from local.cluster import Cluster
print(Cluster(Path(sys.argv[1])).up(Settings()).cluster_id)
"""


@pytest.fixture(autouse=True)
def no_mode_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL", raising=False)


class Told(list[str]):
    """What a cluster reported."""

    def about(self, words: str) -> bool:
        return any(words in line for line in self)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of one cluster that the tests of this file break in turn."""
    state = tmp_path_factory.mktemp("state")
    yield state
    Cluster(state).down()


@pytest.fixture
def cluster(state: Path, told: Told) -> Cluster:
    """The cluster, up, with something in it."""
    cluster = Cluster(state, report=told.append)
    cluster.up(Settings())
    data = ConfigMap.from_dict({"metadata": {"name": "kept"}, "data": {"a": "b"}})
    cluster.client().apply(data, namespace="default", force=True)
    told.clear()
    return cluster


@pytest.fixture
def foreign() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of the cluster's."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def kill(cluster: Cluster, *names: str) -> None:
    """SIGKILL components, all of them where none is named, and wait until they are gone."""
    for name, number in cluster.components().items():
        if number and (not names or name in names):
            process = psutil.Process(number)
            process.kill()
            process.wait(timeout=30)


def start_up(state: Path) -> "subprocess.Popen[str]":
    """`up` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", UP, str(state)],
        cwd=PROJECT_FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def holds_its_data(cluster: Cluster) -> bool:
    data = cluster.client().get(ConfigMap, "kept", namespace="default").data
    return data == {"a": "b"}


def runs_once(cluster: Cluster) -> bool:
    found = processes.find(cluster.paths.root)
    return set(found) == set(cluster.components()) and all(len(p) == 1 for p in found.values())


@pytest.mark.parametrize(
    "names",
    [("kube-apiserver",), ("etcd",), ("kube-scheduler", "kwok-controller")],
    ids="-".join,
)
def test_up_heals_after_a_kill_and_keeps_the_data(cluster: Cluster, names: tuple[str, ...]) -> None:
    before, kubeconfig = cluster.record, cluster.kubeconfig.read_text()
    kill(cluster, *names)
    assert not cluster.is_running
    assert not cluster.up(Settings()).is_new
    assert cluster.is_running
    assert runs_once(cluster)
    assert holds_its_data(cluster)
    assert cluster.record == before
    assert cluster.kubeconfig.read_text() == kubeconfig


def test_pods_run_right_after_a_restart(cluster: Cluster) -> None:
    """A killed kwok's leases are not waited for: by default that takes more than three minutes."""
    kill(cluster)
    cluster.up(Settings())
    container = {"name": "any", "image": "any"}
    pod = Pod.from_dict({"metadata": {"name": "after"}, "spec": {"containers": [container]}})
    client = cluster.client()
    client.apply(pod, namespace="default", force=True)

    def runs() -> bool:
        status = client.get(Pod, "after", namespace="default").status
        return status is not None and status.phase == "Running"

    wait_until("the pod to run", runs, 100)


def test_after_a_reboot_up_keeps_the_data_and_harms_nobody(
    cluster: Cluster, foreign: "subprocess.Popen[bytes]"
) -> None:
    kill(cluster)
    for component in cluster.components():
        cluster.paths.pid_file_of(component).write_text(str(foreign.pid))
    assert not cluster.up(Settings()).is_new
    assert runs_once(cluster)
    assert holds_its_data(cluster)
    assert foreign.poll() is None


def test_a_port_taken_while_the_cluster_was_down_is_replaced(cluster: Cluster) -> None:
    before = cluster.record
    assert before is not None
    kill(cluster)
    taken = [before.ports["kubeApiserverPort"], before.ports["etcdPeerPort"]]
    with (
        socket.create_server(("127.0.0.1", taken[0])),
        socket.create_server(("127.0.0.1", taken[1])),
    ):
        assert not cluster.up(Settings()).is_new
        assert holds_its_data(cluster)
        after = cluster.record
        assert after is not None
        assert not set(taken) & set(after.ports.values())
        assert after.ports["etcdPort"] == before.ports["etcdPort"]
        assert str(after.ports["kubeApiserverPort"]) in cluster.kubeconfig.read_text()


def test_up_interrupted_during_a_restart_keeps_the_data(cluster: Cluster) -> None:
    kill(cluster, "kube-apiserver")
    interrupted = start_up(cluster.paths.state_dir)
    pid_file = cluster.paths.pid_file_of("kube-apiserver")
    wait_until("restarting", lambda: not pid_file.exists(), 120)
    interrupted.kill()
    interrupted.communicate()
    assert not cluster.up(Settings()).is_new
    assert runs_once(cluster)
    assert holds_its_data(cluster)


def test_a_controller_that_gave_up_on_a_slow_api_server_is_started_again(
    cluster: Cluster,
) -> None:
    """It ends when the API server takes more than 10 s to come, as on a busy machine."""
    kill(cluster)
    pid_file = cluster.paths.pid_file_of("kube-controller-manager")
    pid_file.unlink()
    running = start_up(cluster.paths.state_dir)
    number = wait_until("started", lambda: pid_file.exists() and pid_file.read_text(), 120)
    os.kill(int(number), signal.SIGKILL)
    said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert runs_once(cluster)
    assert holds_its_data(cluster)


def test_a_failure_of_kwokctl_itself_costs_no_data(cluster: Cluster, told: Told) -> None:
    """It deletes the directory that it could not lay out."""
    kill(cluster)
    logs = cluster.paths.kwok_cluster / "logs"
    shutil.rmtree(logs)
    logs.write_text("in the way")
    assert not cluster.up(Settings()).is_new
    assert told.about("kwokctl could not start the cluster")
    assert runs_once(cluster)
    assert holds_its_data(cluster)


def test_data_that_cannot_be_started_from_is_given_up_and_that_is_said(
    cluster: Cluster, told: Told
) -> None:
    before = cluster.cluster_id()
    kill(cluster)
    for file in cluster.paths.data.rglob("db"):
        file.write_bytes(b"not a database")
    after = cluster.up(Settings())
    assert after.is_new
    assert after.cluster_id == cluster.cluster_id() != before
    assert told.about("its data cannot be started from; making it anew")
    assert told.about("etcd of the local cluster ended while it was started")


def test_another_mode_makes_the_cluster_anew_with_a_warning(cluster: Cluster, told: Told) -> None:
    record = cluster.record
    assert record is not None
    record.model_copy(update={"mode": "docker"}).write(cluster.paths.record)
    with pytest.raises(LocalClusterError, match="made as docker"):
        cluster.up(Settings())
    up = Cluster(cluster.paths.state_dir, "simulated", told.append).up(Settings())
    assert up.is_new
    assert told.about("made as docker; making it anew as simulated, so all that was in it is gone")
    assert cluster.mode.name == "simulated"


def test_asking_for_serving_with_images_that_it_has_not_touches_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL", "serving")
    before = cluster.components()
    with pytest.raises(LocalClusterError, match="LOCAL=serving"):
        Cluster(cluster.paths.state_dir).up(Settings())
    assert cluster.components() == before
    assert holds_its_data(cluster)


def test_processes_whose_folder_was_deleted_are_ended_by_the_next_up(cluster: Cluster) -> None:
    before = set(cluster.components().values())
    shutil.rmtree(cluster.paths.root)
    assert cluster.up(Settings()).is_new
    assert runs_once(cluster)
    assert not before & set(cluster.components().values())


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
            # What was reached must be reached anew by the next run.
            if not paths.record.exists():
                paths.kubeconfig.unlink(missing_ok=True)
                paths.kwokctl_config.unlink(missing_ok=True)
                shutil.rmtree(paths.pki, ignore_errors=True)
        cluster.up(Settings())
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
    cluster: Cluster,
    tmp_path: Path,
    foreign: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, scratch = tmp_path / "a second", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    first = cluster.components()
    second = Cluster(state)
    assert second.up(Settings()).cluster_id != cluster.cluster_id()
    assert second.record is not None
    ports = set(second.record.ports.values())
    assert ports <= listening()
    assert cluster.record is not None
    assert not ports & set(cluster.record.ports.values())
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
    assert cluster.is_running
    assert cluster.components() == first
    assert not second.down()
    assert not state.exists()


def test_down_ends_what_an_interrupted_up_left(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "state")
    up = start_up(cluster.paths.state_dir)
    wait_until("kwokctl runs", lambda: "kwokctl" in processes.find(cluster.paths.root))
    up.kill()
    up.communicate()
    assert cluster.down()
    assert processes.find(cluster.paths.root) == {}
    assert not cluster.paths.state_dir.exists()


def test_too_little_disk_is_one_message_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path / "state")
    monkeypatch.setattr("local.cluster.NEEDED_MIB", 2**40)
    with pytest.raises(LocalClusterError, match="not enough disk for the local cluster"):
        cluster.up(Settings())
    assert not cluster.paths.root.exists()
    assert Record.read(cluster.paths.record) is None
