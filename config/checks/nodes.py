"""Checks that the GPU nodes hold the fleets, and that the cost of a cold start is known."""

from collections.abc import Iterator

from config.checks.rollouts import surge_keys
from config.checks.stack_paths import StackAt, smallest_passing, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.gpu_nodes import Pool
from config.sections.triton import PULL_SECONDS, S3Repository, Triton
from config.settings import Settings
from config.sizing.packing import (
    OTHER_IMAGES_GIB,
    fitting_pools,
    free_disk_gib,
    may_run,
    packed,
    replicas_per_node,
    selected_nodes,
    stranded_nodes,
)
from config.units import MIB_PER_GIB


def _known(settings: Settings) -> bool:
    return not any(pool.nodes.unknown_instance_types for pool in settings.gpu_nodes.pools)


def _on_gpu_nodes(settings: Settings) -> list[StackAt]:
    return [at for at in stacks(settings) if at.stack.triton.gpus]


def _fits(settings: Settings, at: StackAt) -> bool:
    return bool(fitting_pools(settings, at.stack))


def _node_keys(pool: Pool) -> dict[str, object]:
    nodes = pool.nodes
    disk = {pool.key(key): value for key, value in nodes.disk_keys.items()}
    if nodes.capacity:
        return {pool.key("capacity"): nodes.capacity.model_dump(by_alias=True), **disk}
    return {pool.key("instanceTypes"): list(nodes.instance_types), **disk}


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
def node_fit(settings: Settings) -> Iterator[Finding]:
    """One replica fits on the smallest node of a pool, and every pool takes some replica."""
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    for at in fleets:
        if not _fits(settings, at):
            for pool in settings.gpu_nodes.pools:
                yield _does_not_fit(settings, at, pool)
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    used = {
        pool.path
        for at in fleets
        for pool in fitting_pools(settings, at.stack)
        if may_run(pool.nodes, at.stack.triton.pods)
    }
    for pool in settings.gpu_nodes.pools:
        running = [at for at in fleets if may_run(pool.nodes, at.stack.triton.pods)]
        # Another check refuses pods that no node may run.
        if not running and used:
            yield Finding(
                keys={
                    pool.key("labels"): dict(pool.nodes.labels),
                    **{
                        at.key("triton.pods.nodeSelector"): at.stack.triton.pods.node_selector
                        for at in fleets
                    },
                },
                reason="the pods' nodeSelector or affinity rules out all nodes here: they idle",
                fix="remove these nodes, or let a stack select them",
            )
        elif running and pool.path not in used:
            yield _does_not_fit(settings, running[0], pool)


def _does_not_fit(settings: Settings, at: StackAt, pool: Pool) -> Finding:
    fit = replicas_per_node(settings, at.stack, pool.nodes)
    triton = at.stack.triton
    selected = selected_nodes(pool.nodes, triton.pods)
    free = selected.allocatable
    memory_mib = free.memory_gib * MIB_PER_GIB
    disk_mib = free_disk_gib(settings, selected) * MIB_PER_GIB
    short = [
        f"{name} ({needed} of {number(there)})"
        for name, count, needed, there in (
            ("GPUs", fit.gpus, triton.gpus, settings.gpus_of(selected)),
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
            pool.key("diskGib"),
            range(pool.nodes.disk_gib, 64 * 1024),
            lambda after: pool.path in {one.path for one in fitting_pools(after, at.stack)},
        )
    return Finding(
        keys={**_node_keys(pool), **_replica_keys(at)},
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
    pools = settings.gpu_nodes.pools
    taken = packed(settings, lambda stack: stack.placed_replicas)
    small = {
        pool.key("maxSize"): count
        for pool, count in zip(pools, taken, strict=True)
        if count > pool.nodes.max_size
    }
    if not small:
        return
    retiring = [at for nodes, at in settings.gpu_nodes.created if nodes.retiring]
    keys: dict[str, object] = {pool.key("retiring"): True for pool in retiring}
    for pool in pools:
        keys |= {pool.key("maxSize"): pool.nodes.max_size, **_node_keys(pool)}
    parts: list[str] = []
    for at in fleets:
        fits = {
            pool.path: replicas_per_node(settings, at.stack, pool.nodes)
            for pool in fitting_pools(settings, at.stack)
        }
        keys |= {
            at.key("autoscaler.maxReplicas"): at.stack.autoscaler.max_replicas,
            **surge_keys(at),
            at.key("triton.warmSpare.replicas"): at.stack.triton.warm_spare.replicas,
            **_replica_keys(at),
            derived(at.key("replicasPerNode")): [fit.replicas for fit in fits.values()]
            if len(fits) > 1
            else next(iter(fits.values())).replicas,
        }
        each = " or ".join(
            f"{fit.replicas} per node{f' of {path}' if len(pools) > 1 else ''}: "
            f"{fit.gpus} by GPUs, {fit.cpu} by CPU, {fit.memory} by memory, {fit.disk} by disk"
            for path, fit in fits.items()
        )
        parts.append(f"{at.stack.placed_replicas} of {at.stack.deployment_name} ({each})")
    allowed = sum(pool.nodes.max_size for pool in pools)
    yield Finding(
        keys=keys,
        reason=(
            f"the largest fleets with their surge and spares, {'; '.join(parts)}, need "
            f"{sum(taken)} nodes, but {allowed} are allowed: the last replicas stay Pending forever"
        ),
        change=small,
    )


@warn
def stranded_gpus(settings: Settings) -> Iterator[Finding]:
    """Replicas of other shapes cannot leave too few GPUs for a larger replica on every node."""
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    taken = packed(settings, lambda stack: stack.placed_replicas)
    pools = settings.gpu_nodes.pools
    if any(count > pool.nodes.max_size for pool, count in zip(pools, taken, strict=True)):
        return
    stranded = max(fleets, key=lambda at: stranded_nodes(settings, at.stack))
    count = stranded_nodes(settings, stranded.stack)
    held = fitting_pools(settings, stranded.stack)
    most = sum(pool.nodes.max_size for pool in held)
    if count >= most:
        more = held[-1].nodes.max_size + count + 1 - most
        yield Finding(
            keys={
                **{pool.key("maxSize"): pool.nodes.max_size for pool in held},
                **{at.key("triton.gpus"): at.stack.triton.gpus for at in fleets},
            },
            reason=(
                f"the scheduler spreads replicas: those of other stacks can leave fewer than "
                f"{stranded.stack.triton.gpus} GPUs free on each of {count} nodes, so a "
                f"replica of {stranded.stack.deployment_name} finds no node although enough "
                "GPUs are free in total"
            ),
            change={held[-1].key("maxSize"): more},
        )


@warn
def cold_start(settings: Settings) -> Iterator[Finding]:
    """The minimum number of nodes holds the minimum number of replicas; others start cold."""
    fleets = _on_gpu_nodes(settings) if _known(settings) else []
    if not fleets or not all(_fits(settings, at) for at in fleets):
        return
    pools = settings.gpu_nodes.pools
    kept = [pool.nodes.fewest for pool in pools]
    # Nodes that come and go with their pods run as long as the replicas do.
    if None in kept:
        return
    taken = packed(
        settings, lambda stack: stack.autoscaler.min_replicas, lambda nodes: nodes.fewest or 0
    )
    small = [
        (pool, count)
        for pool, count in zip(pools, taken, strict=True)
        if count > (pool.nodes.fewest or 0)
    ]
    if not small or any(count > pool.nodes.max_size for pool, count in small):
        return
    node = max(pool.nodes.node_start_seconds for pool in pools)
    ready = max(at.stack.triton.ready_seconds for at in fleets)
    yield Finding(
        keys={
            **{pool.key("minSize"): pool.nodes.fewest for pool in pools},
            **{at.key("autoscaler.minReplicas"): at.stack.autoscaler.min_replicas for at in fleets},
            **{pool.key("nodeStartSeconds"): pool.nodes.node_start_seconds for pool in pools},
        },
        reason=(
            f"min replicas need {sum(taken)} node(s), but "
            f"{sum(pool.nodes.fewest or 0 for pool in pools)} are kept: the rest "
            f"start cold, after {number(node)} s for the node, up to {PULL_SECONDS} s for Triton's "
            f"image and {number(ready)} s for the models = {number(node + PULL_SECONDS + ready)} s"
        ),
        change={pool.key("minSize"): count for pool, count in small},
    )
