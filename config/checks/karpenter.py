"""Checks of Karpenter's pools: what its API or its controller would refuse, and what cuts calls."""

import re
from collections.abc import Iterator

from config.checks.evictions import budget_keys, eviction_rounds, fleets_on_gpu_nodes
from config.checks.stack_paths import stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.gpu_nodes import GPU_RESOURCE, Pool
from config.sections.gpu_sharing import NotShared
from config.sections.karpenter import Karpenter, KarpenterPool
from config.settings import Settings
from config.sizing.rollout import loading_seconds

RESTRICTED_LABELS = re.compile(
    r"([^/]+\.)?(karpenter\.sh|karpenter\.k8s\.aws)/.*|kubernetes\.io/hostname"
)
"""Labels that the NodePool's CRD refuses, but for some of Karpenter's own that describe instance
types (its CEL rules on `spec.template.metadata.labels`)."""

_RELEASES = {"AL2023": r"latest|v[0-9]{8}", "Bottlerocket": r"latest|v[0-9]+\.[0-9]+\.[0-9]+"}
"""Releases by AMI family (karpenter.sh, "NodeClasses", `spec.amiSelectorTerms`, `alias`)."""

_EXAMPLES = {"AL2023": "v20260709", "Bottlerocket": "v1.47.0"}
"""A release of each family."""


def _pools(settings: Settings) -> list[tuple[KarpenterPool, Pool]]:
    nodes = settings.gpu_nodes
    # By kind: the checks of this module are about Karpenter's own parameters.
    if not isinstance(nodes, Karpenter):
        return []
    return [(pool, at) for pool, (_, at) in zip(nodes.node_pools, nodes.created, strict=True)]


@refuse
def ami_release(settings: Settings) -> Iterator[Finding]:
    """In prod nobody but the user decides when nodes are exchanged."""
    for pool, at in _pools(settings) if settings.tier == "prod" else ():
        if pool.ami_version == "latest" and not pool.ami_ids:
            yield Finding(
                keys={"tier": "prod", at.key("amiVersion"): pool.ami_version},
                reason=(
                    "Karpenter exchanges all nodes whenever AWS publishes an AMI, tested or not, "
                    "and a replica that stops loads its models again elsewhere"
                ),
                fix=f"set {at.key('amiVersion')} to a release that staging runs, such as "
                + _EXAMPLES[pool.ami_family],
            )


@refuse
def ami_alias(settings: Settings) -> Iterator[Finding]:
    """Karpenter finds the AMI of the stated type and release."""
    for pool, at in _pools(settings):
        if pool.ami_ids:
            continue
        keys: dict[str, object] = {
            at.key("amiType"): pool.ami_type,
            at.key("amiVersion"): pool.ami_version,
        }
        if pool.ami_type.endswith("_FIPS"):
            yield Finding(
                keys=keys,
                reason="Karpenter's alias never names the FIPS variant of Bottlerocket",
                fix=f"state the AMIs in {at.key('amiIds')}",
                change={at.key("amiType"): pool.ami_type.removesuffix("_FIPS")},
            )
        if not re.fullmatch(_RELEASES[pool.ami_family], pool.ami_version):
            yield Finding(
                keys=keys,
                reason=(
                    f"{pool.ami_family} has releases such as {_EXAMPLES[pool.ami_family]}: the "
                    "EC2NodeClass would find no AMI, and no node would start"
                ),
                change={at.key("amiVersion"): "latest"},
            )


@refuse
def node_pool_labels(settings: Settings) -> Iterator[Finding]:
    """Karpenter accepts every label of a NodePool."""
    for pool, at in _pools(settings):
        taken = [key for key in pool.labels if RESTRICTED_LABELS.fullmatch(key)]
        if taken:
            yield Finding(
                keys={at.key("labels"): pool.labels},
                reason=f"Karpenter sets the label {' and '.join(taken)} itself, and refuses it",
                change={at.key("labels"): {k: v for k, v in pool.labels.items() if k not in taken}},
            )


@refuse
def budget_schedules(settings: Settings) -> Iterator[Finding]:
    """A scheduled disruption budget says how long it is active."""
    for pool, at in _pools(settings):
        for index, budget in enumerate(pool.disruption_budgets):
            if (budget.schedule is None) != (budget.duration_minutes is None):
                path = f"disruptionBudgets[{index}]"
                schedule, duration = (
                    at.key(f"{path}.{key}") for key in ("schedule", "durationMinutes")
                )
                yield Finding(
                    keys={schedule: budget.schedule, duration: budget.duration_minutes},
                    reason="Karpenter takes a schedule and a duration only together",
                    fix=f"set both {schedule} and {duration}, or neither",
                    change={schedule: None, duration: None},
                )


@refuse
def drain_limit(settings: Settings) -> Iterator[Finding]:
    """A node that drains stays until its last replica has ended its calls.

    Karpenter ends pods that are left at its limit, whatever their own grace period or a disruption
    budget says (karpenter.sh, "Disruption", `terminationGracePeriod`).
    """
    for pool, at in _pools(settings):
        limit = pool.termination_grace_seconds
        if limit is None:
            continue
        for fleet in fleets_on_gpu_nodes(settings):
            rounds = eviction_rounds(settings, fleet, pool.most_disrupted or 1, [at])
            grace, ready = fleet.stack.triton_grace_seconds, fleet.stack.triton.ready_seconds
            needed = round((rounds - 1) * ready + grace)
            if limit < needed:
                yield Finding(
                    keys={
                        at.key("terminationGraceSeconds"): limit,
                        derived(fleet.key("triton.terminationGraceSeconds")): grace,
                        **budget_keys(settings, fleet),
                    },
                    reason=(
                        f"Karpenter ends the pods of a node {limit} s after its drain began, but "
                        f"the disruption budget lets the replicas leave in {rounds} rounds, each "
                        f"after the one before is ready elsewhere, and the last takes {grace} s: "
                        f"{number(needed)} s in all. Calls of the others are cut"
                    ),
                    change={at.key("terminationGraceSeconds"): needed},
                )


@warn
def consolidation_wait(settings: Settings) -> Iterator[Finding]:
    """Karpenter moves no replica that still loads, whatever its version."""
    for pool, at in _pools(settings):
        wait = pool.consolidate_after_seconds
        if wait is None or pool.consolidation_policy == "WhenEmpty":
            continue
        for fleet in stacks(settings):
            loading = loading_seconds(fleet.stack)
            if fleet.stack.triton.gpus and wait < loading:
                yield Finding(
                    keys={
                        at.key("consolidateAfterSeconds"): wait,
                        fleet.key("triton.loadSeconds"): fleet.stack.triton.load_seconds,
                    },
                    reason=(
                        f"a replica may take {loading} s to load, and a Karpenter that does not "
                        "know a duration of do-not-disrupt (before 1.12), or spot nodes, which "
                        f"have none, may lose it again after {wait} s without another change"
                    ),
                    change={at.key("consolidateAfterSeconds"): None},
                )


@refuse
def karpenter_gpus(settings: Settings) -> Iterator[Finding]:
    """Karpenter knows the resource that replicas request."""
    sharing = settings.gpu_sharing
    if _pools(settings) and sharing.resource != GPU_RESOURCE:
        yield Finding(
            keys={"gpuNodes.kind": settings.gpu_nodes.kind, "gpuSharing.kind": sharing.kind},
            reason=(
                f"Karpenter knows {GPU_RESOURCE} of an instance type and no {sharing.resource}: "
                "it would start no node for a replica"
            ),
            change={"gpuSharing": {"kind": NotShared().kind}},
        )
