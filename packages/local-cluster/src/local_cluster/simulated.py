"""Simulated nodes: a real control plane, with kwok in place of each kubelet."""

from collections.abc import Sequence
from typing import Any

from local_cluster.spec import GPU_RESOURCE, Resources, SimulatedNode

_MIB_PER_GIB = 1024

NOTICE = (
    "Its pods are simulated: they are scheduled and become Ready, but no container runs "
    "and nothing serves."
)

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok-controller",
)

# A new process does not wait for the lease of a killed one.
_NO_LEASE = {"leader-elect": "false"}

OWN_STATUS = {"kwok.x-k8s.io/status": "custom"}
"""Annotation of pods and nodes that kwok leaves alone: their owner writes their status, and deletes
them. kwok itself declares every readiness gate of a pod fulfilled."""

_OWN_STATUS_SELECTOR = ",".join(f"{key}={value}" for key, value in OWN_STATUS.items())

COMPONENT_ARGS = {
    # The API server does not advertise a loopback address, and otherwise needs a default route,
    # which a machine without network lacks. No simulated pod dials this address (RFC 5737).
    "kube-apiserver": {"advertise-address": "192.0.2.1"},
    "kube-controller-manager": _NO_LEASE,
    "kube-scheduler": _NO_LEASE,
    "kwok-controller": {"disregard-status-with-annotation-selector": _OWN_STATUS_SELECTOR},
}

_PODS = 110
"""Kubernetes' default number of pods on a node."""


def nodes(wanted: Sequence[SimulatedNode]) -> list[dict[str, Any]]:
    """Return the Node objects of simulated nodes."""
    return [_node(node) for node in wanted]


def _node(node: SimulatedNode) -> dict[str, Any]:
    taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in node.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {
                **node.labels,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": node.name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": node.zone,
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": taints} if taints else {},
        "status": {
            "capacity": _quantities(node.capacity),
            "allocatable": _quantities(node.allocatable or node.capacity),
        },
    }


def _quantities(resources: Resources) -> dict[str, str]:
    # The API server normalizes quantities; in its form, a second apply changes nothing.
    cpu = round(resources.cpu * 1000)
    return {
        "cpu": f"{cpu // 1000}" if cpu % 1000 == 0 else f"{cpu}m",
        "memory": _bytes(resources.memory_gib),
        "ephemeral-storage": _bytes(resources.disk_gib),
        "pods": str(_PODS),
    } | ({GPU_RESOURCE: str(resources.gpus)} if resources.gpus else {})


def _bytes(gib: float) -> str:
    mib = round(gib * _MIB_PER_GIB)
    return f"{mib // _MIB_PER_GIB}Gi" if mib % _MIB_PER_GIB == 0 else f"{mib}Mi"
