"""Contents of the local cluster, on the real control plane with kwok's nodes.

Not proved here: that a container runs. No pod of this cluster does anything.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lightkube import Client
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Node, Pod

from config.sections.gpu_nodes import GPU_RESOURCE
from config.settings import Settings
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from local_cluster.status import show
from ops.stack.cluster_spec import cluster_spec
from tests.envoy.harness.waiting import wait_until
from tests.integration.pods import pod


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home directory to find untouched; the tools stay in the user's cache."""
    cache = toolchain.ensure("cluster")["kwokctl"]
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        root = next(p for p in cache.parents if p.name == "kubemind-inference")
        patch.setenv("XDG_CACHE_HOME", str(root.parent))
        patch.setenv("HOME", str(home))
        patch.delenv("LOCAL", raising=False)
        yield home


@pytest.fixture(scope="module")
def cluster(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert home.is_dir()
    cluster = Cluster(tmp_path_factory.mktemp("state"))
    try:
        assert cluster.up(cluster_spec(Settings())).is_new
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def test_up_makes_a_cluster_with_every_component_kedas_definitions_and_ready_nodes(
    cluster: Cluster, client: Client
) -> None:
    assert cluster.is_running
    assert all(cluster.components().values())
    definitions = {d.metadata.name: d for d in client.list(CustomResourceDefinition)}
    assert holds(definitions["scaledobjects.keda.sh"], "Established")
    nodes = list(client.list(Node))
    settings = Settings()
    assert len(nodes) == settings.gpu_nodes.pool.max_size + settings.platform.cpu_nodes
    assert all(holds(node, "Ready") for node in nodes)
    assert {n.status.nodeInfo.kubeletVersion for n in nodes} == {
        f"kwok-v{toolchain.TABLE['kwok'].version}"
    }


def test_nothing_outside_the_state_folder_is_written(
    cluster: Cluster, home: Path, tmp_path: Path
) -> None:
    """The user's ~/.kube least of all, even where $KUBECONFIG points at a file of theirs."""
    theirs = tmp_path / "config"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(theirs))
        cluster.up(cluster_spec(Settings()))
    assert list(home.rglob("*")) == []
    assert not theirs.exists()


def _labelled_by_the_controller(client: Client) -> bool:
    """The node controller copies a new node's labels to their older names once, and later."""
    nodes = client.list(Node)
    return all("beta.kubernetes.io/os" in (node.metadata.labels or {}) for node in nodes)


def test_a_second_up_changes_nothing(cluster: Cluster, client: Client) -> None:
    def seen() -> Any:
        things = [*client.list(Node), *client.list(CustomResourceDefinition)]
        return (
            cluster.components(),
            cluster.record,
            cluster.kubeconfig.stat().st_mtime_ns,
            [(t.metadata.name, t.metadata.uid, t.metadata.generation) for t in things],
            [(n.metadata.name, n.metadata.labels, n.spec, n.status.capacity) for n in things[:8]],
        )

    wait_until("the nodes have all labels", lambda: _labelled_by_the_controller(client))
    before = seen()
    assert not cluster.up(cluster_spec(Settings())).is_new
    assert seen() == before


def test_changed_parameters_change_the_nodes_and_those_alone(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    client.create(Pod.from_dict(pod("last", gpus=4, tolerates=True)), namespace=namespace)
    client.create(Pod.from_dict(pod("gone", tolerates=True, nodeName="gpu-5")), namespace=namespace)
    before = {node.metadata.name: node.metadata.uid for node in client.list(Node)}
    processes = cluster.components()
    changed = Settings.model_validate(
        {
            "gpu_nodes": {
                "kind": "existing",
                "max_size": 2,
                "labels": {"pool": "a"},
                "taint": {"value": "yes"},
            },
            "gpu_sharing": {"kind": "timeSlicing", "slices": 2},
            "platform": {"kind": "local", "cpu_nodes": 3, "cpu_node_cpu": 4},
        }
    )
    cluster.up(cluster_spec(changed))
    after = {node.metadata.name: node for node in client.list(Node)}
    assert sorted(after) == ["cpu-0", "cpu-1", "cpu-2", "gpu-0", "gpu-1"]
    assert all(after[n].metadata.uid == before[n] for n in after if n in before)
    assert cluster.components() == processes
    gpu = after["gpu-0"]
    assert gpu.metadata.labels["pool"] == "a"
    assert [(t.key, t.value) for t in gpu.spec.taints] == [(GPU_RESOURCE, "yes")]
    assert gpu.status.allocatable[GPU_RESOURCE] == "8"
    assert after["cpu-2"].status.allocatable["cpu"] == "4"
    assert "gone" not in {p.metadata.name for p in client.list(Pod, namespace=namespace)}

    cluster.up(cluster_spec(Settings()))
    gpu = client.get(Node, "gpu-0")
    assert "pool" not in gpu.metadata.labels
    assert gpu.status.allocatable[GPU_RESOURCE] == "4"
    assert client.get(Node, "cpu-0").status.allocatable["cpu"] == "8"


def test_a_resource_definition_that_was_deleted_is_back_after_up(
    cluster: Cluster, client: Client
) -> None:
    name = "triggerauthentications.keda.sh"
    client.delete(CustomResourceDefinition, name)
    cluster.up(cluster_spec(Settings()))
    assert holds(client.get(CustomResourceDefinition, name), "Established")


def test_status_names_every_component_the_nodes_and_that_nothing_serves(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    show(cluster)
    shown = " ".join(capsys.readouterr().out.split())
    for name, process in cluster.components().items():
        assert f"{name} process {process}" in shown
    assert "6 of 6 GPU nodes ready" in shown
    assert "2 of 2 CPU nodes ready" in shown
    assert "nothing serves" in shown
    assert str(cluster.kubeconfig) in shown


def test_the_cluster_listens_on_loopback_alone(cluster: Cluster) -> None:
    listening = [
        connection.laddr
        for process in cluster.components().values()
        for connection in psutil.Process(process).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert cluster.record is not None
    assert {address.port for address in listening} == set(cluster.record.ports.values())
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0
