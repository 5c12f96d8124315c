"""What the local cluster holds, on the real control plane with kwok's nodes.

Not proved here: that a container runs. No pod of this cluster does anything.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Node, Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice

import toolchain
from config.gpu_nodes import GPU_LABEL, GPU_RESOURCE
from config.settings import Settings
from local.cluster import Cluster
from local.status import show
from tests.envoy.harness.waiting import wait_until

IMAGE = "example.com/none:1"
TOLERATION = {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}


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
        assert cluster.up(Settings()).is_new
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


@pytest.fixture
def namespace(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, under the strictest pod security."""
    name = request.node.name.replace("_", "-")[:60].strip("-")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.create(Namespace.from_dict({"metadata": {"name": name, "labels": labels}}))
    yield name
    client.delete(Namespace, name)


def pod(name: str, *, gpus: int = 0, tolerates: bool = False, **spec: Any) -> dict[str, Any]:
    """A pod that pod security lets into a restricted namespace."""
    resources = {"cpu": "1", **({GPU_RESOURCE: str(gpus)} if gpus else {})}
    container = {
        "name": "main",
        "image": IMAGE,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [TOLERATION] if tolerates else [],
            "containers": [container],
            **spec,
        },
    }


def holds(thing: Any, condition: str) -> bool:
    conditions = thing.status.conditions or []
    return any(c.type == condition and c.status == "True" for c in conditions)


def pods(client: Client, namespace: str, test: Callable[[Any], bool]) -> list[Any]:
    return [pod for pod in client.list(Pod, namespace=namespace) if test(pod)]


def is_ready(pod: Any) -> bool:
    return holds(pod, "Ready")


def is_unschedulable(pod: Any) -> bool:
    return any(
        c.type == "PodScheduled" and c.status == "False" and c.reason == "Unschedulable"
        for c in pod.status.conditions or []
    )


def test_up_makes_a_cluster_with_every_component_kedas_definitions_and_ready_nodes(
    cluster: Cluster, client: Client
) -> None:
    assert cluster.is_running
    assert all(cluster.components().values())
    definitions = {d.metadata.name: d for d in client.list(CustomResourceDefinition)}
    assert holds(definitions["scaledobjects.keda.sh"], "Established")
    nodes = list(client.list(Node))
    settings = Settings()
    assert len(nodes) == settings.gpu_nodes.max_size + settings.platform.cpu_nodes
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
        cluster.up(Settings())
    assert list(home.rglob("*")) == []
    assert not theirs.exists()


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

    before = seen()
    assert not cluster.up(Settings()).is_new
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
            "gpu_nodes": {"max_size": 2, "labels": {"pool": "a"}, "taint": {"value": "yes"}},
            "device_plugin": {"time_slices": 2},
            "platform": {"kind": "local", "cpu_nodes": 3, "cpu_node_cpu": 4},
        }
    )
    cluster.up(changed)
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

    cluster.up(Settings())
    gpu = client.get(Node, "gpu-0")
    assert "pool" not in gpu.metadata.labels
    assert gpu.status.allocatable[GPU_RESOURCE] == "4"
    assert client.get(Node, "cpu-0").status.allocatable["cpu"] == "8"


def test_a_resource_definition_that_was_deleted_is_back_after_up(
    cluster: Cluster, client: Client
) -> None:
    name = "triggerauthentications.keda.sh"
    client.delete(CustomResourceDefinition, name)
    cluster.up(Settings())
    assert holds(client.get(CustomResourceDefinition, name), "Established")


def test_gpu_nodes_hold_as_many_gpu_pods_as_gpus_and_the_next_one_waits(
    client: Client, namespace: str
) -> None:
    nodes = list(client.list(Node, labels={GPU_LABEL[0]: GPU_LABEL[1]}))
    gpus = sum(int(n.status.allocatable[GPU_RESOURCE]) for n in nodes)
    assert gpus == 24
    for index in range(gpus + 1):
        fits = pod(f"triton-{index}", gpus=1, tolerates=True)
        client.create(Pod.from_dict(fits), namespace=namespace)
    wait_until(
        "24 pods ready, one unschedulable",
        lambda: (
            len(pods(client, namespace, is_ready)) == gpus
            and len(pods(client, namespace, is_unschedulable)) == 1
        ),
    )
    names = {n.metadata.name for n in nodes}
    assert {p.spec.nodeName for p in pods(client, namespace, is_ready)} == names


def test_only_pods_that_tolerate_the_taint_land_on_gpu_nodes(
    client: Client, namespace: str
) -> None:
    client.create(Pod.from_dict(pod("plain")), namespace=namespace)
    client.create(Pod.from_dict(pod("intolerant", gpus=1)), namespace=namespace)
    wait_until(
        "one ready, one unschedulable",
        lambda: (
            [p.metadata.name for p in pods(client, namespace, is_ready)] == ["plain"]
            and len(pods(client, namespace, is_unschedulable)) == 1
        ),
    )
    assert client.get(Pod, "plain", namespace=namespace).spec.nodeName.startswith("cpu-")


def test_a_pod_with_probes_and_init_containers_becomes_ready_and_goes_at_once(
    client: Client, namespace: str
) -> None:
    """Unlike a kubelet, kwok probes nothing and waits for no grace period."""
    template = pod("triton", terminationGracePeriodSeconds=600)
    main = template["spec"]["containers"][0]
    template["spec"]["initContainers"] = [{**main, "name": "sync"}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        main[probe] = {"httpGet": {"path": "/v2/health/ready", "port": 8000}}
    client.create(Pod.from_dict(template), namespace=namespace)
    wait_until("ready", lambda: len(pods(client, namespace, is_ready)) == 1)
    client.delete(Pod, "triton", namespace=namespace)
    wait_until("gone", lambda: not pods(client, namespace, lambda _: True))


def test_pod_security_is_enforced(client: Client, namespace: str) -> None:
    privileged = pod("root")
    del privileged["spec"]["securityContext"]
    with pytest.raises(ApiError, match="violates PodSecurity"):
        client.create(Pod.from_dict(privileged), namespace=namespace)


def test_workloads_roll_out_and_services_find_their_pods(client: Client, namespace: str) -> None:
    def workload(name: str, **template_spec: Any) -> dict[str, Any]:
        template = pod(name, **template_spec)
        del template["metadata"]["name"]
        selector = {"matchLabels": {"app": name}}
        return {"metadata": {"name": name}, "spec": {"selector": selector, "template": template}}

    deployment = workload("web")
    deployment["spec"]["replicas"] = 3
    client.create(Deployment.from_dict(deployment), namespace=namespace)
    ports = [{"port": 80}]
    service = {
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": ports},
    }
    client.create(Service.from_dict(service), namespace=namespace)
    selector = {GPU_LABEL[0]: GPU_LABEL[1]}
    daemons = workload("plugin", tolerates=True, nodeSelector=selector)
    client.create(DaemonSet.from_dict(daemons), namespace=namespace)
    job = workload("once", restartPolicy="Never")
    del job["spec"]["selector"]
    client.create(Job.from_dict(job), namespace=namespace)

    def addresses() -> set[str]:
        slices = client.list(EndpointSlice, namespace=namespace)
        found = [e for s in slices for e in s.endpoints or [] if e.conditions.ready]
        return {address for endpoint in found for address in endpoint.addresses}

    wait_until(
        "rolled out",
        lambda: (
            holds(client.get(Deployment, "web", namespace=namespace), "Available")
            and client.get(DaemonSet, "plugin", namespace=namespace).status.numberReady == 6
            and holds(client.get(Job, "once", namespace=namespace), "Complete")
            and len(addresses()) == 3
        ),
    )
    old = {p.metadata.uid for p in client.list(Pod, namespace=namespace, labels={"app": "web"})}
    deployment["spec"]["template"]["metadata"]["annotations"] = {"hash": "new"}
    client.patch(Deployment, "web", deployment, namespace=namespace)
    wait_until(
        "rolled over",
        lambda: (
            not old
            & {p.metadata.uid for p in client.list(Pod, namespace=namespace, labels={"app": "web"})}
        ),
    )
    wait_until("three again", lambda: len(addresses()) == 3)


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
