"""Simulated nodes: a real control plane, and kwok in the place of every kubelet."""

from typing import Any

from config.gpu_nodes import GPU_RESOURCE
from config.instances import InstanceType
from config.platform import LocalPlatform
from config.settings import Settings
from config.units import MIB_PER_GIB

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

# A new process need not wait for the lease of one that was killed.
_NO_LEASE = {"leader-elect": "false"}

COMPONENT_ARGS = {
    # The API server refuses to advertise a loopback address and otherwise asks for a default
    # route, which a machine without network lacks. No simulated pod ever dials it (RFC 5737).
    "kube-apiserver": {"advertise-address": "192.0.2.1"},
    "kube-controller-manager": _NO_LEASE,
    "kube-scheduler": _NO_LEASE,
}

_PODS = 110
"""Kubernetes' own default for the pods of a node."""

_ZONES = 2
"""Zones that the nodes are dealt out to, so that a spread over zones has a meaning."""


def nodes(settings: Settings) -> list[dict[str, Any]]:
    """The Node objects for a stack's parameters: every GPU node it may have, then CPU nodes.

    There is no autoscaler of nodes in the cluster, so `gpuNodes.maxSize` of them are there.
    """
    gpu = settings.gpu_nodes
    gpus = {GPU_RESOURCE: str(settings.gpus_per_node)}
    platform = settings.platform
    plain = platform if isinstance(platform, LocalPlatform) else LocalPlatform()
    size = InstanceType(0, plain.cpu_node_cpu, plain.cpu_node_memory_gib)
    cpu = _resources(size, plain.cpu_node_disk_gib)
    return [
        *(
            _node(
                f"gpu-{i}",
                i,
                labels=gpu.node_labels,
                taints=[gpu.taint.model_dump()],
                capacity=_resources(gpu.node, gpu.disk_gib) | gpus,
                allocatable=_resources(gpu.allocatable, gpu.allocatable_disk_gib) | gpus,
            )
            for i in range(gpu.max_size)
        ),
        *(_node(f"cpu-{i}", i, capacity=cpu, allocatable=cpu) for i in range(plain.cpu_nodes)),
    ]


def _resources(size: InstanceType, disk_gib: float) -> dict[str, str]:
    # The API server writes quantities in one form; written so, a second apply changes nothing.
    cpu = round(size.cpu * 1000)
    return {
        "cpu": f"{cpu // 1000}" if cpu % 1000 == 0 else f"{cpu}m",
        "memory": _bytes(size.memory_gib),
        "ephemeral-storage": _bytes(disk_gib),
        "pods": str(_PODS),
    }


def _bytes(gib: float) -> str:
    mib = round(gib * MIB_PER_GIB)
    return f"{mib // MIB_PER_GIB}Gi" if mib % MIB_PER_GIB == 0 else f"{mib}Mi"


def _node(
    name: str,
    index: int,
    *,
    capacity: dict[str, str],
    allocatable: dict[str, str],
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                **(labels or {}),
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": f"local-{'abc'[index % _ZONES]}",
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": taints} if taints else {},
        "status": {"capacity": capacity, "allocatable": allocatable},
    }
