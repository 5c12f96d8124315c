"""Checks that nodes which drain get rid of their replicas in time, several to a node."""

import math
from collections.abc import Iterable, Iterator

from config.checks.drain import EKS_EVICTION_SECONDS, SPOT_NOTICE_SECONDS
from config.checks.stack_paths import StackAt, smallest_passing, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.gpu_nodes import GpuNodes, Pool
from config.sections.inference import InferenceStack
from config.sections.node_groups import NodeGroup
from config.sections.triton import PULL_SECONDS
from config.settings import Settings
from config.sizing.packing import evictable, most_per_node, packed

EKS_CORDON_SECONDS = 60
"""Time that EKS waits between the last eviction from a node and its end (the same page)."""


def fleets_on_gpu_nodes(settings: Settings) -> list[StackAt]:
    """Return the stacks whose replicas run on GPU nodes of known capacity, and fit there."""
    pools = settings.gpu_nodes.pools
    if any(pool.nodes.unknown_instance_types for pool in pools):
        return []
    return [
        at
        for at in stacks(settings)
        if at.stack.triton.gpus and most_per_node(settings, at.stack, pools)
    ]


def eviction_rounds(settings: Settings, at: StackAt, nodes: int, pools: Iterable[Pool]) -> int:
    """Return the number of evictions, one after another, that empty nodes which drain at once.

    The disruption budget holds back each until the replicas of the one before are ready elsewhere.
    """
    return math.ceil(_leaving(settings, at, nodes, pools) / evictable(settings, at.stack))


def _leaving(settings: Settings, at: StackAt, nodes: int, pools: Iterable[Pool]) -> int:
    """Return the most replicas that nodes which drain at once hold."""
    held = nodes * most_per_node(settings, at.stack, pools)
    return min(held, at.stack.autoscaler.max_replicas)


def budget_keys(settings: Settings, at: StackAt) -> dict[str, object]:
    """Return the keys on which the number of evictions from a node depends."""
    stated = at.stack.triton.disruption_budget
    key = at.key("triton.disruptionBudget")
    return {
        key if stated else derived(key): evictable(settings, at.stack),
        derived(at.key("replicasPerNode")): most_per_node(
            settings, at.stack, settings.gpu_nodes.pools
        ),
        at.key("triton.loadSeconds"): at.stack.triton.load_seconds,
        derived(at.key("triton.copySeconds")): math.ceil(at.stack.triton.copy_seconds),
    }


def _update_keys(settings: Settings, at: StackAt) -> dict[str, object]:
    groups = settings.gpu_nodes.groups_at
    return {
        **{pool.key("maxUnavailable"): group.max_unavailable for group, pool in groups},
        **budget_keys(settings, at),
        derived(at.key("triton.terminationGraceSeconds")): at.stack.triton_grace_seconds,
    }


@refuse
def spot_budget(settings: Settings) -> Iterator[Finding]:
    """On spot nodes the disruption budget lets all replicas of a node leave at once."""
    pools = [pool for pool in settings.gpu_nodes.pools if pool.nodes.spot]
    for at in fleets_on_gpu_nodes(settings) if pools else ():
        if eviction_rounds(settings, at, 1, pools) > 1:
            yield Finding(
                keys={
                    **{pool.key("capacityType"): "SPOT" for pool in pools},
                    **budget_keys(settings, at),
                },
                reason=(
                    f"a spot node ends {SPOT_NOTICE_SECONDS} s after its notice, but the "
                    f"disruption budget lets {evictable(settings, at.stack)} of its replicas leave "
                    "at once, and others only after those are ready on another node: the calls of "
                    "the others are cut"
                ),
                change={at.key("triton.disruptionBudget"): None},
            )


@warn
def spot_node(settings: Settings) -> Iterator[Finding]:
    """The smallest fleet does not run on a single spot node."""
    pools = settings.gpu_nodes.pools
    alone = all(p.nodes.spot for p in pools) and sum(p.nodes.fewest or 0 for p in pools) < 2
    sized = {p.key("minSize"): p.nodes.fewest for p in pools if p.nodes.fewest is not None}
    for at in fleets_on_gpu_nodes(settings) if alone else ():
        least = at.stack.autoscaler.min_replicas
        one_node = most_per_node(settings, at.stack, pools)
        if least > one_node:
            continue
        cold = (
            settings.gpu_nodes.pool.node_start_seconds
            + PULL_SECONDS
            + at.stack.triton.ready_seconds
        )
        yield Finding(
            keys={
                **{pool.key("capacityType"): "SPOT" for pool in pools},
                **sized,
                at.key("autoscaler.minReplicas"): least,
                **budget_keys(settings, at),
            },
            reason=(
                f"the smallest fleet fits on one spot node: each interruption is an outage of up "
                f"to {number(cold)} s, until another node and its replicas are ready"
            ),
            change={
                pools[-1].key("minSize"): 2,
                **({at.key("autoscaler.minReplicas"): 2} if least < 2 else {}),
            }
            if sized
            else {at.key("autoscaler.minReplicas"): one_node + 1},
        )


@refuse
def evictions(settings: Settings) -> Iterator[Finding]:
    """The disruption budget lets an EKS node-group update empty a node in time."""
    for at in _updated(settings):
        rounds, seconds = update_rounds(settings, at), eviction_seconds(settings, at)
        if seconds <= EKS_EVICTION_SECONDS:
            continue
        key, least = at.key("triton.disruptionBudget"), at.stack.autoscaler.min_replicas

        def passes(after: Settings, index: int = at.index) -> bool:
            return eviction_seconds(after, StackAt(index, after.inference[index])) <= (
                EKS_EVICTION_SECONDS
            )

        change = smallest_passing(settings, key, range(2, least), passes)
        yield Finding(
            keys=_update_keys(settings, at),
            reason=(
                f"EKS gives pods {EKS_EVICTION_SECONDS} s to leave a node that it updates, but the "
                f"disruption budget lets the replicas leave in {rounds} rounds, each after the one "
                f"before is ready elsewhere: {number(seconds)} s, so the update fails with "
                "PodEvictionFailure"
            ),
            # Some of the smallest fleet stay.
            change=change,
            fix=""
            if change
            else (
                f"raise autoscaler.minReplicas (now {least}), and {key} to less than it; or choose "
                "instance types that hold one replica; or shorten triton.loadSeconds"
            ),
        )


@refuse
def minimal_update(settings: Settings) -> Iterator[Finding]:
    """Other nodes have room for the replicas that a node-group update waits for.

    With `updateStrategy: MINIMAL` EKS starts a new node only after an old one has ended (AWS EKS
    user guide, managed node update behavior, "Upgrade phase").
    """
    minimal = [at for at in settings.gpu_nodes.groups_at if at[0].update_strategy == "MINIMAL"]
    for at in _updated(settings):
        for group, pool in minimal:
            if group.retiring or _successors_have_room(settings, at, group, pool):
                continue
            strategy, budget = pool.key("updateStrategy"), at.key("triton.disruptionBudget")
            leaving = _leaving(settings, at, group.max_unavailable, [pool])
            yield Finding(
                keys={
                    strategy: group.update_strategy,
                    pool.key("maxSize"): group.max_size,
                    at.key("autoscaler.maxReplicas"): at.stack.autoscaler.max_replicas,
                    **_update_keys(settings, at),
                },
                reason=(
                    f"an update of strategy MINIMAL adds no node before {leaving} replicas have "
                    f"left the old ones, but the disruption budget lets "
                    f"{evictable(settings, at.stack)} leave at once, and others only after those "
                    "are ready elsewhere, where the largest fleet leaves no room for them: the "
                    "update fails with PodEvictionFailure"
                ),
                fix=(
                    f"set {strategy} to DEFAULT; or, if no more GPUs can be had, let all of these "
                    f"replicas leave at once ({budget}: {leaving}), which the rest of the fleet "
                    "must bear; or lower autoscaler.maxReplicas"
                ),
                change={strategy: "DEFAULT"},
            )


def _successors_have_room(settings: Settings, at: StackAt, group: NodeGroup, pool: Pool) -> bool:
    """Return True if the last replica can leave the draining nodes of the largest fleet.

    All but those that leave last are ready on other nodes then.
    """
    leaving = _leaving(settings, at, group.max_unavailable, [pool])
    rounds = math.ceil(leaving / evictable(settings, at.stack))
    if rounds < 2:
        return True
    last = leaving - (rounds - 1) * evictable(settings, at.stack)

    def placed(stack: InferenceStack) -> int:
        return stack.autoscaler.max_replicas - (last if stack is at.stack else 0)

    def size(nodes: GpuNodes) -> int:
        return max(0, nodes.max_size - (group.max_unavailable if nodes is group else 0))

    needed = packed(settings, placed, size)
    pools = settings.gpu_nodes.pools
    return all(count <= size(pool.nodes) for count, pool in zip(needed, pools, strict=True))


@warn
def cold_evictions(settings: Settings) -> Iterator[Finding]:
    """An EKS node-group update succeeds although the new nodes pull Triton's image.

    EKS makes all old nodes unschedulable before it drains the first, so evicted replicas start on
    new nodes. A node also waits for the replicas of the node before, which use up the budget. With
    `updateStrategy: MINIMAL` the new nodes have not started yet.
    """
    minimal = [at for at in settings.gpu_nodes.groups_at if at[0].update_strategy == "MINIMAL"]
    start = max((group.node_start_seconds for group, _ in minimal), default=0)
    starting = f"start within {number(start)} s and " if minimal else ""
    stated: dict[str, object] = {
        pool.key(key): value
        for group, pool in minimal
        for key, value in (
            ("updateStrategy", group.update_strategy),
            ("nodeStartSeconds", group.node_start_seconds),
        )
    }
    for at in _updated(settings):
        warm, ready = eviction_seconds(settings, at), at.stack.triton.ready_seconds
        seconds = start + PULL_SECONDS + max(warm, ready - EKS_CORDON_SECONDS)
        if warm <= EKS_EVICTION_SECONDS < seconds:
            yield Finding(
                keys={**stated, **_update_keys(settings, at)},
                reason=(
                    f"EKS gives pods {EKS_EVICTION_SECONDS} s to leave a node that it updates, but "
                    f"the disruption budget waits for replicas on new nodes, which {starting}pull "
                    f"Triton's image for up to {PULL_SECONDS} s: {number(seconds)} s in all, so "
                    "the update may fail with PodEvictionFailure"
                ),
                fix=(
                    "force an update that fails (aws eks update-nodegroup-version --force): it "
                    "ends the calls of replicas that are still there; or shorten the models' copy "
                    "and load"
                ),
            )


def _updated(settings: Settings) -> list[StackAt]:
    """Return the stacks on EKS node groups whose replicas stop in time, each by itself."""
    if not settings.gpu_nodes.groups:
        return []
    return [
        at
        for at in fleets_on_gpu_nodes(settings)
        if at.stack.triton_grace_seconds <= EKS_EVICTION_SECONDS
    ]


def update_rounds(settings: Settings, at: StackAt) -> int:
    """Return the rounds of evictions that empty the nodes that an update drains at once."""
    nodes = max(group.max_unavailable for group in settings.gpu_nodes.groups)
    return eviction_rounds(settings, at, nodes, settings.gpu_nodes.pools)


def eviction_seconds(settings: Settings, at: StackAt) -> float:
    """Return the time until the last replica leaves a node, if new nodes have Triton's image."""
    waits = (update_rounds(settings, at) - 1) * at.stack.triton.ready_seconds
    return waits + at.stack.triton_grace_seconds
