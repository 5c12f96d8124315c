"""Checks that minima are not above maxima, and that the capacity of each node is known."""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.settings import Settings
from config.sizing.instances import INSTANCE_TYPES


@refuse
def instance_types(settings: Settings) -> Iterator[Finding]:
    """The capacity of every instance type is known."""
    for pool in settings.gpu_nodes.pools:
        unknown = pool.nodes.unknown_instance_types
        if unknown:
            yield Finding(
                keys={pool.key("instanceTypes"): list(pool.nodes.instance_types)},
                reason=(
                    f"the capacity of {', '.join(unknown)} is not known (known: "
                    f"{', '.join(sorted(INSTANCE_TYPES))}), so no check can tell what fits"
                ),
                fix=f"set {pool.key('capacity')} (gpus, cpu, memoryGib) to that of the smallest "
                "type",
            )


@refuse
def node_bounds(settings: Settings) -> Iterator[Finding]:
    """The minimum number of nodes is not above the maximum."""
    for pool in settings.gpu_nodes.pools:
        fewest, most = pool.nodes.fewest, pool.nodes.max_size
        if fewest is not None and fewest > most:
            yield Finding(
                keys={pool.key("minSize"): fewest, pool.key("maxSize"): most},
                reason="the minimum number of nodes is above the maximum",
                change={pool.key("maxSize"): fewest},
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
