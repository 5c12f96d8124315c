"""Common parts of the stack's pods: template, identity, privileges, resources, placement."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE, GpuNodes
from config.sections.pods import SAFE_TO_EVICT_VOLUMES, PodOptions
from config.sizing.instances import ARCHITECTURE_LABEL, OS_LABEL, Architecture

Manifest: TypeAlias = Any
"""A piece of a Kubernetes object in its wire spelling (camelCase keys). Any, because Pulumi's typed
dicts have another spelling; schema validation of what is rendered checks it instead."""

HASH_ANNOTATION = "kubemind.io/config-hash"
"""Pod-template annotation that rolls the pods when their mounted files change."""


def config_hash(config: object) -> str:
    """Hash a JSON value, for `HASH_ANNOTATION`."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pod_template(
    labels: Mapping[str, str],
    spec: Manifest,
    *,
    annotations: Mapping[str, str] | None = None,
    options: PodOptions | None = None,
) -> Manifest:
    """Build a workload's pod template.

    The stack's own labels, annotations and fields take precedence over the options.

    Args:
        labels: The stack's own labels.
        spec: The stack's own spec.
        annotations: The stack's own annotations.
        options: Options of the user.
    """
    options = options or PodOptions()
    local = disk_volumes(spec)
    metadata = {
        "labels": {**options.labels, **labels},
        "annotations": {
            **options.annotations,
            **({SAFE_TO_EVICT_VOLUMES: ",".join(local)} if local else {}),
            **(annotations or {}),
        },
    }
    tolerations = [
        toleration.model_dump(by_alias=True, exclude_none=True)
        for toleration in options.tolerations
    ]
    together = {
        **options.spec,
        **spec,
        "nodeSelector": {**options.node_selector, **spec["nodeSelector"]},
    }
    if tolerations:
        together["tolerations"] = [*spec.get("tolerations", []), *tolerations]
    # The API server keeps no empty mapping.
    return {"metadata": {key: held for key, held in metadata.items() if held}, "spec": together}


def disk_volumes(spec: Manifest) -> list[str]:
    """Return the names of a pod's emptyDirs on the node's disk.

    The Cluster Autoscaler ignores those in memory (`isLocalVolume` in its `utils/drain/drain.go`).
    """
    return [
        volume["name"]
        for volume in spec.get("volumes", [])
        if "emptyDir" in volume and volume["emptyDir"].get("medium") != "Memory"
    ]


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


def resources(
    *,
    cpu: float,
    memory_mib: int,
    storage_mib: int,
    gpus: int = 0,
    gpu_resource: str = GPU_RESOURCE,
) -> Manifest:
    """Container `resources`.

    Memory, scratch storage and GPUs are limited to what is requested. CPU is requested only: a
    limit is enforced in slices of 100 ms, a twentieth of a two-second deadline each time.

    Args:
        cpu: Cores requested.
        memory_mib: Memory, MiB.
        storage_mib: Writable layer, logs and disk-backed emptyDirs, MiB.
        gpus: GPUs (or shares of one); none where 0.
        gpu_resource: Extended resource of the GPUs.
    """
    bounded = {"memory": f"{memory_mib}Mi", "ephemeral-storage": f"{storage_mib}Mi"}
    if gpus:
        bounded[gpu_resource] = str(gpus)
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
        OS_LABEL: "linux",
        **({ARCHITECTURE_LABEL: architecture} if architecture else {}),
        **({GPU_LABEL[0]: GPU_LABEL[1]} if gpus else {}),
    }


def spread(selector: dict[str, str], *, least_nodes: int = 0) -> Manifest:
    """Spread a workload's pods over zones and nodes.

    Args:
        selector: Labels of the workload's pods.
        least_nodes: Nodes that the first pods wait for; each later pod waits for one of the nodes
            with the fewest. If 0, pods share nodes where there is no room elsewhere: GPU nodes are
            few, and one may hold several replicas.
    """
    shared: Manifest = {
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector},
        # Or the old pods would push the new ones of a rollout aside.
        "matchLabelKeys": ["pod-template-hash"],
    }
    nodes: Manifest = {**shared, "topologyKey": "kubernetes.io/hostname"}
    if least_nodes:
        nodes |= {
            "whenUnsatisfiable": "DoNotSchedule",
            "minDomains": least_nodes,
            # By default nodes whose taint the pods do not tolerate, such as GPU nodes, count as
            # nodes without pods, and the second pod on any other node would never be scheduled.
            "nodeTaintsPolicy": "Honor",
        }
    return [{**shared, "topologyKey": "topology.kubernetes.io/zone"}, nodes]
