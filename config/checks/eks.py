"""Checks that EKS accepts the node group: rules that its API would enforce minutes into an `up`.

Lengths and enumerations are those of EKS's service model (API version 2017-11-01); a test compares
them with the model that botocore ships.
"""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse, warn
from config.settings import Settings
from config.sizing.instances import Architecture, architecture_of, gpu_of, has_nvidia_gpu

RESERVED_LABELS = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")
"""Prefixes that EKS refuses in a node group's labels ("Label cannot contain reserved prefixes",
aws/containers-roadmap#1451); `k8s.amazonaws.com/` contains none of them."""

MAX_KEY = 63
"""Longest key of a label or taint, its prefix included (shapes `labelKey` and `taintKey`).
Kubernetes itself counts the name alone."""

MAX_INSTANCE_TYPES = 20
"""Most instance types of one group (CreateNodegroup, `instanceTypes`: "0-20 instance types")."""


@refuse
def node_labels(settings: Settings) -> Iterator[Finding]:
    """EKS accepts every label of the node group."""
    for nodes, pool in settings.gpu_nodes.groups_at:
        reasons = {
            key: reason
            for key, value in nodes.labels.items()
            if (reason := _label_reason(key, value))
        }
        if reasons:
            yield Finding(
                keys={
                    "gpuNodes.kind": "eksNodeGroups",
                    pool.key("labels"): nodes.labels,
                },
                reason="EKS refuses " + "; ".join(reasons.values()),
                change={
                    pool.key("labels"): {
                        key: value for key, value in nodes.labels.items() if key not in reasons
                    }
                },
            )


def _label_reason(key: str, value: str) -> str:
    reserved = [prefix for prefix in RESERVED_LABELS if prefix in key]
    if reserved:
        return f"the label {key}: {reserved[-1]} is reserved"
    if len(key) > MAX_KEY:
        return f"the label {key}: {len(key)} characters with its prefix, at most {MAX_KEY}"
    if not value:
        return f"the label {key}: its value is empty, but must have 1 to 63 characters"
    return ""


@refuse
def node_taint(settings: Settings) -> Iterator[Finding]:
    """EKS accepts the taint of the node group."""
    for nodes, pool in settings.gpu_nodes.groups_at:
        key = nodes.taint.key
        if len(key) > MAX_KEY:
            yield Finding(
                keys={"gpuNodes.kind": "eksNodeGroups", pool.key("taint.key"): key},
                reason=(
                    f"EKS allows at most {MAX_KEY} characters for a taint's key with its prefix, "
                    f"and this one has {len(key)}"
                ),
                fix="choose a shorter key, such as nvidia.com/gpu",
            )


@refuse
def node_update(settings: Settings) -> Iterator[Finding]:
    """A node-group update makes no more nodes unavailable than the group may have."""
    for nodes, pool in settings.gpu_nodes.groups_at:
        if nodes.max_unavailable > nodes.max_size:
            yield Finding(
                keys={
                    pool.key("maxUnavailable"): nodes.max_unavailable,
                    pool.key("maxSize"): nodes.max_size,
                },
                reason="an update could make more nodes unavailable than the group may have",
                change={pool.key("maxUnavailable"): nodes.max_size},
            )


@refuse
def instance_count(settings: Settings) -> Iterator[Finding]:
    """A node group has at most as many instance types as EKS allows."""
    for nodes, pool in settings.gpu_nodes.groups_at:
        count = len(nodes.instance_types)
        if count > MAX_INSTANCE_TYPES:
            yield Finding(
                keys={pool.key("instanceTypes"): list(nodes.instance_types)},
                reason=(
                    f"EKS allows at most {MAX_INSTANCE_TYPES} instance types, and {count} are set"
                ),
                change={pool.key("instanceTypes"): list(nodes.instance_types[:MAX_INSTANCE_TYPES])},
            )


@refuse
def node_architecture(settings: Settings) -> Iterator[Finding]:
    """Instance types and AMI have the same processor architecture."""
    for nodes, pool in settings.gpu_nodes.created:
        types: dict[Architecture, list[str]] = {}
        for name in nodes.instance_types:
            types.setdefault(architecture_of(name), []).append(name)
        if set(types) == {nodes.ami_architecture}:
            continue
        other = {"amd64": "arm64", "arm64": "amd64"}[nodes.ami_architecture]
        spelled = "; ".join(f"{', '.join(names)}: {arch}" for arch, names in types.items())
        change = {pool.key("amiType"): _swapped(nodes.ami_type)} if set(types) == {other} else {}
        yield Finding(
            keys={
                pool.key("amiType"): nodes.ami_type,
                pool.key("instanceTypes"): list(nodes.instance_types),
            },
            reason=(
                f"the AMI is for {nodes.ami_architecture}, but not all instance types are "
                f"({spelled}): EKS or EC2 refuses them, or nodes never start"
            ),
            change=change,
            fix=""
            if change
            else "choose instance types of one architecture, and the AMI type for it",
        )


@refuse
def triton_architecture(settings: Settings) -> Iterator[Finding]:
    """Replicas with GPUs run on the architecture of the GPU nodes."""
    for nodes, pool in settings.gpu_nodes.created:
        for at in stacks(settings):
            stated = at.stack.triton.architecture
            if at.stack.triton.gpus and stated and stated != nodes.ami_architecture:
                key = at.key("triton.architecture")
                yield Finding(
                    keys={key: stated, pool.key("amiType"): nodes.ami_type},
                    reason=f"the GPU nodes are {nodes.ami_architecture}: no node can run a replica",
                    change={key: None},
                )


def _swapped(ami_type: str) -> str:
    if "_ARM_64_" in ami_type:
        return ami_type.replace("_ARM_64_", "_x86_64_")
    return ami_type.replace("_x86_64_", "_ARM_64_")


@refuse
def gpu_types(settings: Settings) -> Iterator[Finding]:
    """Every instance type of the GPU nodes has NVIDIA GPUs, as their AMI requires."""
    for nodes, pool in settings.gpu_nodes.created:
        without = [name for name in nodes.instance_types if not has_nvidia_gpu(name)]
        if without:
            yield Finding(
                keys={
                    pool.key("instanceTypes"): list(nodes.instance_types),
                    pool.key("amiType"): nodes.ami_type,
                },
                reason=(
                    f"{', '.join(without)} has no NVIDIA GPU, but the AMI is for instances with "
                    "one: such a node would never advertise a GPU"
                ),
                fix="remove it; instance types with NVIDIA GPUs are those of the families g and p",
            )


@warn
def gpu_generations(settings: Settings) -> Iterator[Finding]:
    """The GPUs of all instance types can run the same TensorRT plan."""
    pools = settings.gpu_nodes.pools
    known = {
        name: gpu for pool in pools for name in pool.nodes.instance_types if (gpu := gpu_of(name))
    }
    if len({gpu.compute_capability for gpu in known.values()}) < 2:
        return
    spelled = ", ".join(
        f"{name}: {gpu.name} (compute capability {gpu.compute_capability})"
        for name, gpu in known.items()
    )
    first = next(iter(known.values())).compute_capability
    kept = {
        pool.key("instanceTypes"): [
            name
            for name in pool.nodes.instance_types
            if name not in known or known[name].compute_capability == first
        ]
        for pool in pools
    }
    stated = {pool.key("instanceTypes"): list(pool.nodes.instance_types) for pool in pools}
    yield Finding(
        keys=stated,
        reason=(
            f"the GPUs are of several generations ({spelled}), and a TensorRT plan runs only "
            "on the generation that it was built for, unless it was built to be "
            "hardware-compatible: a replica fails to load it on the other nodes"
        ),
        change={key: names for key, names in kept.items() if names != stated[key]}
        if all(kept.values())
        else {},
        fix=""
        if all(kept.values())
        else "let the retiring group take no new pods (retiring: "
        "true), or give each generation a stack of its own",
    )
