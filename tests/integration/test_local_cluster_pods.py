"""Pods and workloads on the local cluster's simulated nodes.

Not proved here: that a container runs. No pod of this cluster does anything.
"""

from collections.abc import Callable
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Node, Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice

from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from tests.envoy.harness.waiting import wait_until
from tests.integration.pods import pod


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


def pods(client: Client, namespace: str, test: Callable[[Any], bool]) -> list[Any]:
    return [pod for pod in client.list(Pod, namespace=namespace) if test(pod)]


def is_ready(pod: Any) -> bool:
    return holds(pod, "Ready")


def is_unschedulable(pod: Any) -> bool:
    return any(
        c.type == "PodScheduled" and c.status == "False" and c.reason == "Unschedulable"
        for c in pod.status.conditions or []
    )


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
        120,
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


def test_workloads_become_ready_and_services_find_their_pods(
    client: Client, namespace: str
) -> None:
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
