"""A replica takes the room of a placeholder at once, on a real scheduler.

Not proved here: that an autoscaler adds the node (the test does), and that a kubelet pulls an image
or ends a placeholder within its second. The nodes are kwok's.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lightkube import Client
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Node, Pod, ServiceAccount
from lightkube.resources.scheduling_v1 import PriorityClass

from components.spare import workload as spare
from components.triton import model_repository
from components.triton import workload as triton
from config.sections.inference import InferenceStack
from config.settings import Settings
from local_cluster import simulated
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from local_cluster.spec import Resources, SimulatedNode, Taint
from tests.envoy.harness.waiting import wait_until

TAINT = {"key": "example.com/warm-spare-test", "value": "true"}


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


@pytest.fixture
def join(client: Client) -> Iterator[Callable[[str], None]]:
    """Add a node with room for one replica, on which no pod of others may run."""
    joined: list[str] = []

    def add(name: str) -> None:
        node = SimulatedNode(
            name=name,
            capacity=Resources(cpu=4, memory_gib=16, disk_gib=20, gpus=1),
            labels=Settings().gpu_nodes.pool.node_labels,
            taints=[Taint(**TAINT)],
        )
        (manifest,) = simulated.nodes([node])
        client.create(Node.from_dict(manifest))
        joined.append(name)

    yield add
    for name in joined:
        client.delete(Node, name)


@pytest.fixture
def settings(namespace: str) -> Settings:
    stack = {"namespace": namespace, "triton": {"warmSpare": {"replicas": 1}}}
    nodes = {"kind": "existing", "taint": TAINT}
    return Settings.model_validate({"inference": [stack], "gpuNodes": nodes})


def deploy(client: Client, stack: InferenceStack, name: str, spec: dict[str, Any]) -> None:
    manifest = {"metadata": {"name": name}, "spec": spec}
    client.create(Deployment.from_dict(manifest), namespace=stack.namespace)


def places(client: Client, stack: InferenceStack) -> dict[str, list[str]]:
    """Return the nodes of ready pods, `pending` for the others, by workload."""
    found: dict[str, list[str]] = {"triton": [], "warm-spare": []}
    for pod in client.list(Pod, namespace=stack.namespace):
        if not pod.metadata.deletionTimestamp:
            workload = pod.metadata.labels["app.kubernetes.io/name"]
            ready = holds(pod, "Ready")
            found[workload].append(pod.spec.nodeName if ready else "pending")
    return found


def test_a_replica_without_room_takes_a_placeholders_and_that_takes_the_next_node(
    client: Client, settings: Settings, join: Callable[[str], None]
) -> None:
    (stack,) = settings.inference
    priority = {"metadata": {"name": spare.priority_class_name(stack)}, "value": spare.PRIORITY}
    client.create(PriorityClass.from_dict(priority))
    account = {"metadata": {"name": stack.deployment_name}}
    client.create(ServiceAccount.from_dict(account), namespace=stack.namespace)
    repository = model_repository.config_map("models", {"model/config.pbtxt": b""})
    replicas = triton.deployment_spec(
        stack, settings.gpu_nodes.pool, repository, settings.prometheus
    )
    try:
        join("first")
        spares = spare.deployment_spec(stack, replicas["template"]["spec"])
        deploy(client, stack, stack.spare_name, spares)
        wait_until(
            "the placeholder holds the only room",
            lambda: places(client, stack) == {"triton": [], "warm-spare": ["first"]},
        )
        deploy(client, stack, stack.deployment_name, {**replicas, "replicas": 1})
        wait_until(
            "the replica runs, and the placeholder waits",
            lambda: places(client, stack) == {"triton": ["first"], "warm-spare": ["pending"]},
        )
        join("second")
        wait_until(
            "the placeholder holds the new room",
            lambda: places(client, stack) == {"triton": ["first"], "warm-spare": ["second"]},
        )
    finally:
        client.delete(PriorityClass, spare.priority_class_name(stack))
