"""A new replica with and without a placeholder's room, on a real scheduler.

Not proved here: that an autoscaler adds the node (the test does), and that a kubelet pulls an image
or ends a placeholder within its second. The nodes are kwok's.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import Client
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod, ServiceAccount
from lightkube.resources.scheduling_v1 import PriorityClass

from components.spare import workload as spare
from components.triton import model_repository
from components.triton import workload as triton
from config.sections.inference import InferenceStack
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from tests.envoy.harness.waiting import wait_until
from tests.integration.standin_kubelet import TAINT, Join, unschedulable


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


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


@pytest.fixture
def replicas(client: Client, settings: Settings) -> dict[str, Any]:
    """Spec of Triton's Deployment, and the account of its pods."""
    (stack,) = settings.inference
    account = {"metadata": {"name": stack.deployment_name}}
    client.create(ServiceAccount.from_dict(account), namespace=stack.namespace)
    repository = model_repository.config_map("models", {"model/config.pbtxt": b""})
    return triton.deployment_spec(stack, settings.gpu_nodes.pool, repository, settings.prometheus)


@pytest.fixture
def priority(client: Client, settings: Settings) -> Iterator[None]:
    """The placeholders' PriorityClass."""
    name = spare.priority_class_name(settings.inference[0])
    manifest = {"metadata": {"name": name}, "value": spare.PRIORITY, "preemptionPolicy": "Never"}
    client.create(PriorityClass.from_dict(manifest))
    yield
    client.delete(PriorityClass, name)


@pytest.mark.usefixtures("priority")
def test_a_replica_takes_a_placeholders_room_before_the_next_node_joins(
    client: Client, settings: Settings, replicas: dict[str, Any], join: Join
) -> None:
    (stack,) = settings.inference
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


def test_a_replica_without_a_placeholder_waits_for_the_next_node(
    client: Client, settings: Settings, replicas: dict[str, Any], join: Join
) -> None:
    (stack,) = settings.inference
    join("first")
    deploy(client, stack, stack.deployment_name, {**replicas, "replicas": 2})
    wait_until(
        "one replica runs, and the scheduler has found no room for the other",
        lambda: (
            sorted(places(client, stack)["triton"]) == ["first", "pending"]
            and unschedulable(client.list(Pod, namespace=stack.namespace)) == 1
        ),
    )
    join("second")
    wait_until(
        "the other runs on the new node",
        lambda: sorted(places(client, stack)["triton"]) == ["first", "second"],
    )
