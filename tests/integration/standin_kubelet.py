"""Nodes of a test's own, and a stand-in for their kubelets, which the test tells what to report.

kwok leaves these pods alone (`OWN_STATUS`). Nothing here proves that containers run, that kubelet
probes them or that it waits for their grace period.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from lightkube import Client
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.core_v1 import Node, Pod, PodStatus

from components.common.pods import Manifest
from config.sections.gpu_nodes import GPU_LABEL
from local_cluster import simulated
from local_cluster.objects import holds
from local_cluster.spec import Resources, SimulatedNode, Taint
from tests.envoy.harness.waiting import wait_until

TAINT = {"key": "example.com/own-nodes", "value": "true"}
"""Taint of the test's nodes: no other pods run on them."""

_LABEL = {"example.com/own-nodes": "true"}

PLACED = {
    "nodeSelector": _LABEL,
    "tolerations": [{**TAINT, "operator": "Equal", "effect": "NoSchedule"}],
}
"""Options of pods that run on the test's nodes and nowhere else."""

ONE_GPU = Resources(cpu=4, memory_gib=16, disk_gib=20, gpus=1)

Join = Callable[..., None]


@contextmanager
def own_nodes(client: Client) -> Iterator[Join]:
    """Yield a function that adds a node; the nodes go at the end."""
    joined: list[str] = []

    def join(
        name: str,
        room: Resources = ONE_GPU,
        zone: str = "local-a",
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        node = SimulatedNode(
            name=name,
            capacity=room,
            labels={**dict([GPU_LABEL]), **_LABEL, **labels},
            taints=[Taint(**TAINT)],
            zone=zone,
        )
        (manifest,) = simulated.nodes([node])
        client.create(Node.from_dict(manifest))
        joined.append(name)

    yield join
    for name in joined:
        client.delete(Node, name)


class Present(NamedTuple):
    """Ready pods at one time."""

    ready: set[str]
    """Names of the pods."""

    version: str
    """The time, as a version of the API server's data."""


class Kubelet:
    """Reports the states of one namespace's pods as a test states them."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self._addresses = (f"192.0.2.{last}" for last in range(1, 255))

    def deploy(self, name: str, spec: Manifest) -> None:
        """Create a Deployment whose pods have no other kubelet."""
        template = spec["template"]
        metadata = template["metadata"]
        annotations = {**metadata.get("annotations", {}), **simulated.OWN_STATUS}
        own = {**template, "metadata": {**metadata, "annotations": annotations}}
        manifest = {"metadata": {"name": name}, "spec": {**spec, "template": own}}
        self.client.create(Deployment.from_dict(manifest), namespace=self.namespace)

    def pods(self, node: str | None = None) -> list[Any]:
        """Return the pods that nobody has deleted, or those of one node."""
        found = self.client.list(Pod, namespace=self.namespace)
        return [
            pod
            for pod in found
            if not pod.metadata.deletionTimestamp and node in (None, pod.spec.nodeName)
        ]

    def deleted(self) -> list[Any]:
        """Return the pods that somebody has deleted and that have not ended."""
        found = self.client.list(Pod, namespace=self.namespace)
        return [pod for pod in found if pod.metadata.deletionTimestamp]

    def waiting(self, count: int) -> list[Any]:
        """Wait for a number of pods with a node and without a report, and return them."""

        def found() -> list[Any]:
            pods = [pod for pod in self.pods() if pod.spec.nodeName and not pod.status.podIP]
            return pods if len(pods) == count else []

        return wait_until(f"{count} new pods have a node", found)

    def report(self, pod: Any, fulfilled: Iterable[str] = ()) -> Any:
        """Report that a pod's containers are ready, and that readiness gates are fulfilled.

        As from kubelet, the pod is ready once all of its gates are.
        """
        met = set(fulfilled)
        gates = {gate.conditionType for gate in pod.spec.readinessGates or ()}
        states = {"Initialized": True, "ContainersReady": True, "Ready": gates <= met}
        states |= dict.fromkeys(met, True)
        address = pod.status.podIP or next(self._addresses)
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": key, "status": str(on)} for key, on in states.items()],
        }
        name = pod.metadata.name
        return self.client.patch(PodStatus, name, {"status": status}, namespace=self.namespace)

    def end(self, pod: Any) -> None:
        """End a deleted pod, as kubelet does at the latest after its grace period."""
        name = pod.metadata.name
        self.client.delete(Pod, name, namespace=self.namespace, grace_period=0)

    def present(self) -> Present:
        """Return the names of the ready pods, and the time for which they are."""
        found = self.client.list(Pod, namespace=self.namespace)
        return Present(
            {pod.metadata.name for pod in found if _is_ready(pod)}, found.resourceVersion
        )

    def fewest_ready(self, since: Present) -> int:
        """Return the smallest number of ready pods after every recorded change of a pod.

        Args:
            since: The time from which changes count.
        """
        mark = {"metadata": {"annotations": {"example.com/last-change": since.version}}}
        name = self.pods()[0].metadata.name
        last = self.client.patch(Pod, name, mark, namespace=self.namespace)
        ready, fewest = set(since.ready), len(since.ready)
        events = self.client.watch(Pod, namespace=self.namespace, resource_version=since.version)
        for kind, pod in events:
            still = {pod.metadata.name} if kind != "DELETED" and _is_ready(pod) else set[str]()
            ready = (ready - {pod.metadata.name}) | still
            fewest = min(fewest, len(ready))
            if pod.metadata.resourceVersion == last.metadata.resourceVersion:
                break
        return fewest

    def stop(self) -> None:
        """Delete all Deployments and end all pods."""
        for deployment in self.client.list(Deployment, namespace=self.namespace):
            self.client.delete(Deployment, deployment.metadata.name, namespace=self.namespace)

        def over() -> bool:
            sets = list(self.client.list(ReplicaSet, namespace=self.namespace))
            pods = list(self.client.list(Pod, namespace=self.namespace))
            for pod in pods:
                self.end(pod)
            return not sets and not pods

        wait_until("all pods are gone", over)


def _is_ready(pod: Any) -> bool:
    return holds(pod, "Ready") and not pod.metadata.deletionTimestamp


def unschedulable(pods: Iterable[Any]) -> int:
    """Return the number of pods for which the scheduler has found no node."""
    return sum(
        condition.type == "PodScheduled" and condition.reason == "Unschedulable"
        for pod in pods
        for condition in pod.status.conditions or []
    )


def takes_pods(client: Client, node: str) -> bool:
    """Tell whether a new node has lost the taint with which it starts."""
    keys = {taint.key for taint in client.get(Node, node).spec.taints or []}
    return "node.kubernetes.io/not-ready" not in keys
