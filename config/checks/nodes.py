"""Checks that the GPU nodes hold the fleets, and that the cost of a cold start is known."""

from collections.abc import Iterator

from config.checks.stack_paths import StackAt, smallest_passing, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.triton import PULL_SECONDS, S3Repository, Triton
from config.settings import Settings
from config.sizing.instances import INSTANCE_TYPES
from config.sizing.packing import (
    OTHER_IMAGES_GIB,
    free_disk_gib,
    nodes_needed,
    replicas_per_node,
    selected_nodes,
    stranded_nodes,
)
from config.units import MIB_PER_GIB


def _known(settings: Settings) -> bool:
    return not settings.gpu_nodes.pool.unknown_instance_types


def _on_gpu_nodes(settings: Settings) -> list[StackAt]:
    return [at for at in stacks(settings) if at.stack.triton.gpus]


def _fits(settings: Settings, at: StackAt) -> bool:
    return replicas_per_node(settings, at.stack).replicas > 0


def _node_keys(settings: Settings) -> dict[str, object]:
    nodes = settings.gpu_nodes.pool
    disk: dict[str, object] = {settings.gpu_nodes.key("diskGib"): nodes.disk_gib}
    if nodes.capacity:
        return {
            settings.gpu_nodes.key("capacity"): nodes.capacity.model_dump(by_alias=True),
            **disk,
        }
    return {settings.gpu_nodes.key("instanceTypes"): list(nodes.instance_types), **disk}


def _replica_keys(at: StackAt) -> dict[str, object]:
    triton = at.stack.triton
    keys: dict[str, object] = {
        at.key("triton.gpus"): triton.gpus,
        at.key("triton.cpu"): triton.cpu,
        at.key("triton.memoryMib"): triton.memory_mib,
    }
    if triton.image_gib is None:
        keys[at.key("triton.image")] = triton.image
    else:
        keys[at.key("triton.imageGib")] = triton.image_gib
    if triton.scratch_mib != Triton().scratch_mib:
        keys[at.key("triton.scratchMib")] = triton.scratch_mib
    if triton.pods.node_selector:
        keys[at.key("triton.pods.nodeSelector")] = triton.pods.node_selector
    # By kind: a copy alone takes disk, and its size has a key of this kind.
    if isinstance(triton.model_repository, S3Repository):
        keys[at.key("triton.modelRepository.cacheGib")] = triton.model_repository.cache_gib
    return keys


@refuse
def instance_types(settings: Settings) -> Iterator[Finding]:
    """The capacity of every instance type is known."""
    key, unknown = settings.gpu_nodes.key, settings.gpu_nodes.pool.unknown_instance_types
    if unknown:
        yield Finding(
            keys={
                settings.gpu_nodes.key("instanceTypes"): list(
                    settings.gpu_nodes.pool.instance_types
                )
            },
            reason=(
                f"the capacity of {', '.join(unknown)} is not known (known: "
                f"{', '.join(sorted(INSTANCE_TYPES))}), so no check can tell what fits"
            ),
            fix=f"set {key('capacity')} (gpus, cpu, memoryGib) to that of the smallest type",
        )


@refuse
def node_bounds(settings: Settings) -> Iterator[Finding]:
    """The minimum number of nodes is not above the maximum."""
    nodes = settings.gpu_nodes.pool
    if nodes.min_size > nodes.max_size:
        yield Finding(
            keys={
                settings.gpu_nodes.key("minSize"): nodes.min_size,
                settings.gpu_nodes.key("maxSize"): nodes.max_size,
            },
            reason="the minimum number of nodes is above the maximum",
            change={settings.gpu_nodes.key("maxSize"): nodes.min_size},
        )


@refuse
def replica_bounds(settings: Settings) -> Iterator[Finding]:
    """The minimum number of replicas is not above the maximum."""
    for at in stacks(settings):
        scaler = at.stack.autoscaler
        low, high = at.key("autoscaler.minReplicas"), at.key("autoscaler.maxReplicas")
        if scaler.min_replicas > scaler.max_replicas:
            yield Finding(
                keys={low: scaler.min_replicas, high: scaler.max_replicas},
                reason="the minimum number of replicas is above the maximum",
                change={low: scaler.max_replicas},
            )


@refuse
def node_fit(settings: Settings) -> Iterator[Finding]:
    """One replica fits on the smallest node."""
    for at in _on_gpu_nodes(settings) if _known(settings) else ():
        fit = replicas_per_node(settings, at.stack)
        if fit.replicas:
            continue
        triton = at.stack.triton
        pool = selected_nodes(settings.gpu_nodes.pool, triton.pods)
        free, gpus = pool.allocatable, pool.node.gpus * settings.device_plugin.time_slices
        memory_mib = free.memory_gib * MIB_PER_GIB
        disk_mib = free_disk_gib(settings) * MIB_PER_GIB
        short = [
            f"{name} ({needed} of {number(there)})"
            for name, count, needed, there in (
                ("GPUs", fit.gpus, triton.gpus, gpus),
                ("CPU", fit.cpu, number(triton.cpu), free.cpu),
                ("memory MiB", fit.memory, triton.memory_mib, memory_mib),
                ("disk MiB", fit.disk, triton.storage_mib, disk_mib),
            )
            if not count
        ]
        images = ""
        change: dict[str, object] = {}
        if not fit.disk:
            gib = triton.unpacked_image_gib
            images = f"; its image takes {gib} GiB of the disk, and others {OTHER_IMAGES_GIB} GiB"
            change = smallest_passing(
                settings,
                settings.gpu_nodes.key("diskGib"),
                range(settings.gpu_nodes.pool.disk_gib, 64 * 1024),
                lambda after, at=at: _fits(after, at),
            )
        yield Finding(
            keys={**_node_keys(settings), **_replica_keys(at)},
            reason=f"a replica does not fit on the smallest node: {', '.join(short)}{images}",
            change=change,
            fix="" if change else "choose larger instance types or disks, or a smaller replica",
        )


@refuse
def nodes(settings: Settings) -> Iterator[Finding]:
    """The maximum number of nodes holds every largest fleet, its spares and a rollout's surge.

    Replicas of one shape share nodes; replicas of another shape count on nodes of their own.
    """
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    needed = nodes_needed(settings, lambda stack: stack.placed_replicas)
    most = settings.gpu_nodes.pool.max_size
    if needed <= most:
        return
    keys: dict[str, object] = {settings.gpu_nodes.key("maxSize"): most, **_node_keys(settings)}
    parts: list[str] = []
    for at in fleets:
        fit = replicas_per_node(settings, at.stack)
        keys |= {
            at.key("autoscaler.maxReplicas"): at.stack.autoscaler.max_replicas,
            at.key("triton.maxSurge"): at.stack.triton.max_surge,
            at.key("triton.warmSpare.replicas"): at.stack.triton.warm_spare.replicas,
            **_replica_keys(at),
            derived(at.key("replicasPerNode")): fit.replicas,
        }
        parts.append(
            f"{at.stack.placed_replicas} of {at.stack.deployment_name} ({fit.replicas} per node: "
            f"{fit.gpus} by GPUs, {fit.cpu} by CPU, {fit.memory} by memory, {fit.disk} by disk)"
        )
    yield Finding(
        keys=keys,
        reason=(
            f"the largest fleets with their surge and spares, {'; '.join(parts)}, need {needed} "
            f"nodes, but {most} are allowed: the last replicas stay Pending forever"
        ),
        change={settings.gpu_nodes.key("maxSize"): needed},
    )


@warn
def stranded_gpus(settings: Settings) -> Iterator[Finding]:
    """Replicas of other shapes cannot leave too few GPUs for a larger replica on every node."""
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    most = settings.gpu_nodes.pool.max_size
    if nodes_needed(settings, lambda stack: stack.placed_replicas) > most:
        return
    stranded = max(fleets, key=lambda at: stranded_nodes(settings, at.stack))
    count = stranded_nodes(settings, stranded.stack)
    if count >= most:
        yield Finding(
            keys={
                settings.gpu_nodes.key("maxSize"): most,
                **{at.key("triton.gpus"): at.stack.triton.gpus for at in fleets},
            },
            reason=(
                f"the scheduler spreads replicas: those of other stacks can leave fewer than "
                f"{stranded.stack.triton.gpus} GPUs free on each of {count} nodes, so a "
                f"replica of {stranded.stack.deployment_name} finds no node although enough "
                "GPUs are free in total"
            ),
            change={settings.gpu_nodes.key("maxSize"): count + 1},
        )


@warn
def cold_start(settings: Settings) -> Iterator[Finding]:
    """The minimum number of nodes holds the minimum number of replicas; others start cold."""
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    gpu_nodes = settings.gpu_nodes.pool
    needed = nodes_needed(settings, lambda stack: stack.autoscaler.min_replicas)
    if needed <= gpu_nodes.min_size or needed > gpu_nodes.max_size:
        return
    node = gpu_nodes.node_start_seconds
    ready = max(at.stack.triton.ready_seconds for at in fleets)
    yield Finding(
        keys={
            settings.gpu_nodes.key("minSize"): gpu_nodes.min_size,
            **{at.key("autoscaler.minReplicas"): at.stack.autoscaler.min_replicas for at in fleets},
            settings.gpu_nodes.key("nodeStartSeconds"): node,
        },
        reason=(
            f"min replicas need {needed} node(s), but {gpu_nodes.min_size} are kept: the rest "
            f"start cold, after {number(node)} s for the node, up to {PULL_SECONDS} s for Triton's "
            f"image and {number(ready)} s for the models = {number(node + PULL_SECONDS + ready)} s"
        ),
        change={settings.gpu_nodes.key("minSize"): needed},
    )
