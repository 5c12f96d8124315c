"""Common parts of the stack's pods: identity, privileges, resources, placement, hashes."""

import hashlib
import json
import math
from typing import Any, TypeAlias

from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE, GpuNodes
from config.sizing.instances import Architecture

Manifest: TypeAlias = Any
"""A piece of a Kubernetes object in its wire spelling (camelCase keys). Any, because Pulumi's typed
dicts have another spelling; schema validation of what is rendered checks it instead."""

HASH_ANNOTATION = "kubemind.io/config-hash"
"""Pod-template annotation that rolls the pods when their mounted files change."""


def config_hash(config: object) -> str:
    """Hash a JSON value, for `HASH_ANNOTATION`."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pod_security(uid: int) -> Manifest:
    """Pod `securityContext` of the `restricted` level, as user, group and file group `uid`."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        # Without it kubelet walks the whole volume at each mount, however many files it holds.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Container `securityContext` of the `restricted` level, with a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(*, cpu: float, memory_mib: int, storage_mib: int, gpus: int = 0) -> Manifest:
    """Container `resources`.

    Memory, scratch storage and GPUs are limited to what is requested. CPU is requested only: a
    limit is enforced in slices of 100 ms, a twentieth of a two-second deadline each time.

    Args:
        cpu: Cores requested.
        memory_mib: Memory, MiB.
        storage_mib: Writable layer, logs and disk-backed emptyDirs, MiB.
        gpus: GPUs (or time slices); none where 0.
    """
    bounded = {"memory": f"{memory_mib}Mi", "ephemeral-storage": f"{storage_mib}Mi"}
    if gpus:
        bounded[GPU_RESOURCE] = str(gpus)
    return {"requests": {"cpu": f"{math.ceil(cpu * 1000)}m", **bounded}, "limits": bounded}


def gpu_tolerations(nodes: GpuNodes) -> Manifest:
    """Tolerate the GPU nodes' taint, and nothing else."""
    taint = nodes.taint
    return [{"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}]


def node_selector(architecture: Architecture | None = None, *, gpus: bool = False) -> Manifest:
    """Return the labels of the nodes that a pod may run on: Linux, and what else it needs.

    Args:
        architecture: Architecture that the image is built for; None where it is built for all.
        gpus: True if the pod needs a node with GPUs.
    """
    return {
        "kubernetes.io/os": "linux",
        **({"kubernetes.io/arch": architecture} if architecture else {}),
        **({GPU_LABEL[0]: GPU_LABEL[1]} if gpus else {}),
    }


def spread(selector: dict[str, str]) -> Manifest:
    """Spread a workload's pods over zones and nodes, if there is room.

    Never a reason not to schedule: GPU nodes are few, and one may hold several replicas.
    """
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
            # Or the old pods would push the new ones of a roll-out aside.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
