"""The local cluster after kills, reboots and interruptions, with the real processes killed.

A reboot is played: every process is gone at once and the numbers in the pid files belong to
others. Not proved here: what a power cut does to data that the disk had not yet taken.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.resources.core_v1 import ConfigMap, Pod

from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.errors import LocalClusterError
from ops.stack.cluster_spec import cluster_spec
from tests.envoy.harness.waiting import wait_until
from tests.integration.local_runs import kill, runs_once, start_up


@pytest.fixture(autouse=True)
def no_mode_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL", raising=False)


class Told(list[str]):
    """Reports of a cluster."""

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
    cluster.up(cluster_spec(Settings()))
    data = ConfigMap.from_dict({"metadata": {"name": "kept"}, "data": {"a": "b"}})
    cluster.client().apply(data, namespace="default", force=True)
    told.clear()
    return cluster


def holds_its_data(cluster: Cluster) -> bool:
    data = cluster.client().get(ConfigMap, "kept", namespace="default").data
    return data == {"a": "b"}


@pytest.mark.parametrize(
    "names",
    [("kube-apiserver",), ("etcd",), ("kube-scheduler", "kwok-controller")],
    ids="-".join,
)
def test_up_heals_after_a_kill_and_keeps_the_data(cluster: Cluster, names: tuple[str, ...]) -> None:
    before, kubeconfig = cluster.record, cluster.kubeconfig.read_text()
    kill(cluster, *names)
    assert not cluster.is_running
    assert not cluster.up(cluster_spec(Settings())).is_new
    assert cluster.is_running
    assert runs_once(cluster)
    assert holds_its_data(cluster)
    assert cluster.record == before
    assert cluster.kubeconfig.read_text() == kubeconfig


def test_pods_run_right_after_a_restart(cluster: Cluster) -> None:
    """A killed kwok's leases are not waited for: by default that takes more than three minutes."""
    kill(cluster)
    cluster.up(cluster_spec(Settings()))
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
    assert not cluster.up(cluster_spec(Settings())).is_new
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
        assert not cluster.up(cluster_spec(Settings())).is_new
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
    assert not cluster.up(cluster_spec(Settings())).is_new
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
    assert not cluster.up(cluster_spec(Settings())).is_new
    assert told.about("kwokctl could not start the cluster")
    assert runs_once(cluster)
    assert holds_its_data(cluster)


def test_data_that_cannot_be_started_from_is_given_up_with_a_message(
    cluster: Cluster, told: Told
) -> None:
    before = cluster.cluster_id()
    kill(cluster)
    for file in cluster.paths.data.rglob("db"):
        file.write_bytes(b"not a database")
    after = cluster.up(cluster_spec(Settings()))
    assert after.is_new
    assert after.cluster_id == cluster.cluster_id() != before
    assert told.about("it cannot start from its data; recreating it")
    assert told.about("etcd of the local cluster ended during its start")


def test_another_mode_recreates_the_cluster_with_a_warning(cluster: Cluster, told: Told) -> None:
    record = cluster.record
    assert record is not None
    record.model_copy(update={"mode": "docker"}).write(cluster.paths.record)
    with pytest.raises(LocalClusterError, match="created as docker"):
        cluster.up(cluster_spec(Settings()))
    up = Cluster(cluster.paths.state_dir, "simulated", told.append).up(cluster_spec(Settings()))
    assert up.is_new
    assert told.about(
        "created as docker; recreating it as simulated, so all objects in it are lost"
    )
    assert cluster.mode.name == "simulated"


def test_asking_for_serving_with_images_that_it_has_not_touches_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL", "serving")
    before = cluster.components()
    with pytest.raises(LocalClusterError, match="LOCAL=serving"):
        Cluster(cluster.paths.state_dir).up(cluster_spec(Settings()))
    assert cluster.components() == before
    assert holds_its_data(cluster)


def test_processes_whose_folder_was_deleted_are_ended_by_the_next_up(cluster: Cluster) -> None:
    before = set(cluster.components().values())
    shutil.rmtree(cluster.paths.root)
    assert cluster.up(cluster_spec(Settings())).is_new
    assert runs_once(cluster)
    assert not before & set(cluster.components().values())
