"""Checks of the node groups as a list: their names, their likeness, and a group that retires."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic.alias_generators import to_camel

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.sections.aws_nodes import RETIRING_TAINT
from config.sections.gpu_nodes import GpuNodes, Pool
from config.sections.node_groups import NodeGroup
from config.settings import Settings


@refuse
def group_names(settings: Settings) -> Iterator[Finding]:
    """Every pool that the stack creates has a name of its own."""
    groups = settings.gpu_nodes.created
    counts = Counter(group.name for group, _ in groups)
    for name, count in counts.items():
        if count > 1:
            where = [pool.key("name") for group, pool in groups if group.name == name]
            yield Finding(
                keys=dict.fromkeys(where, name),
                reason=f"{count} {settings.gpu_nodes.noun}s have the name {name}",
                fix=f"give all but one another name; the one that exists as {name} keeps its name",
            )


@refuse
def release_version(settings: Settings) -> Iterator[Finding]:
    """A release of the AMI is for the stated Kubernetes version.

    Releases of AL2023 begin with it (EKS user guide, "Amazon EKS optimized Amazon Linux AMI
    versions"); Bottlerocket's have a number of their own.
    """
    for group, pool in settings.gpu_nodes.groups_at:
        release, kubernetes = group.release_version, group.kubernetes_version
        if (
            release
            and kubernetes
            and group.ami_type.startswith("AL2023")
            and not release.startswith(f"{kubernetes}.")
        ):
            yield Finding(
                keys={
                    pool.key("releaseVersion"): release,
                    pool.key("kubernetesVersion"): kubernetes,
                },
                reason=f"release {release} is not for Kubernetes {kubernetes}: EKS refuses it",
                fix=f"state a release of {kubernetes}, or none for the newest",
                change={pool.key("releaseVersion"): None},
            )


@refuse
def group_retiring(settings: Settings) -> Iterator[Finding]:
    """At least one pool takes new pods."""
    nodes = settings.gpu_nodes
    if nodes.created and not nodes.pools:
        yield Finding(
            keys={pool.key("retiring"): True for _, pool in nodes.created},
            reason=(
                f"every {nodes.noun} is retiring: no node takes a new replica, and one that stops "
                "never starts again"
            ),
            fix=f"add the {nodes.noun} that takes their place, under a name of its own",
        )


_IN_TEMPLATE = (
    "disk_throughput_mibps",
    "disk_iops",
    "kms_key_arn",
    "local_disks",
    "fast_image_pull",
    "user_data",
    "capacity_reservation_id",
)
"""Parameters that the stack's own launch template carries."""

_OF_ROLE = ("permissions_boundary_arn", "ssm", "vpc_cni_policy")
"""Parameters of the role that the stack creates."""


@refuse
def group_template(settings: Settings) -> Iterator[Finding]:
    """No parameter is stated that another launch template than the stack's decides."""
    for group, pool in settings.gpu_nodes.groups_at:
        if group.launch_template:
            reason = "these nodes have a launch template of another owner, which decides"
            yield from _without_effect(group, pool, "launchTemplate", _IN_TEMPLATE, reason)


@refuse
def group_role(settings: Settings) -> Iterator[Finding]:
    """No parameter is stated that the owner of the nodes' role decides."""
    for group, pool in settings.gpu_nodes.groups_at:
        if group.role_arn:
            reason = "these nodes have a role of another owner, who decides"
            yield from _without_effect(group, pool, "roleArn", _OF_ROLE, reason)


def _without_effect(
    group: NodeGroup, pool: Pool, owner: str, fields: Iterable[str], reason: str
) -> Iterator[Finding]:
    """Find parameters of a group that have no effect beside another one."""
    stated = {
        to_camel(field): getattr(group, field)
        for field in fields
        if getattr(group, field) != NodeGroup.model_fields[field].default
    }
    if stated:
        own: object = group.model_dump(by_alias=True)[owner]
        yield Finding(
            keys={pool.key(owner): own, **{pool.key(key): v for key, v in stated.items()}},
            reason=f"{reason} {' and '.join(stated)}",
            change={pool.key(key): None for key in stated},
        )


@refuse
def retiring_tolerated(settings: Settings) -> Iterator[Finding]:
    """Replicas do not return to a retiring group that is drained."""
    retiring = [
        pool.key("retiring") for group, pool in settings.gpu_nodes.groups_at if group.retiring
    ]
    for at in stacks(settings) if retiring else ():
        stated = at.stack.triton.pods.tolerations
        kept = [one for one in stated if not one.tolerates(RETIRING_TAINT, "true", "NoSchedule")]
        if len(kept) < len(stated):
            key = at.key("triton.pods.tolerations")
            yield Finding(
                keys={
                    **dict.fromkeys(retiring, True),
                    key: [one.model_dump(by_alias=True, exclude_none=True) for one in stated],
                },
                reason=(
                    "a toleration of every taint also tolerates those of retiring and of drained "
                    "nodes: the replicas that leave such a node start on it again"
                ),
                change={
                    key: [
                        one.model_dump(mode="json", by_alias=True, exclude_none=True)
                        for one in kept
                    ]
                },
            )


class _Trait(NamedTuple):
    """A trait by which pods select nodes."""

    key: str
    of: str
    why: str


def _traits(nodes: GpuNodes) -> dict[_Trait, object]:
    taint = nodes.taint
    return {
        _Trait("taint", "taints", "Triton's pods tolerate one taint"): (
            f"{taint.key}={taint.value}:{taint.effect}"
        ),
        _Trait("amiType", "architectures", "Triton's pods select one architecture"): (
            nodes.architecture
        ),
        _Trait("amiType", "device plugins", "a device plugin runs on all GPU nodes or none"): (
            "its own" if nodes.brings_device_plugin else "this stack's"
        ),
    }


@refuse
def groups_alike(settings: Settings) -> Iterator[Finding]:
    """Groups that take new pods have one taint, one architecture and one kind of device plugin."""
    pools = settings.gpu_nodes.pools
    for trait in _traits(pools[0].nodes) if pools else ():
        found = {pool.path: _traits(pool.nodes)[trait] for pool in pools}
        if len(set(found.values())) < 2:
            continue
        stated: dict[str, object] = {}
        for pool in pools:
            stated |= {
                pool.key(key): value
                for key, value in (
                    ("amiType", pool.nodes.ami_type),
                    ("taint.key", pool.nodes.taint.key),
                    ("taint.value", pool.nodes.taint.value),
                    ("taint.effect", pool.nodes.taint.effect),
                )
                if key.startswith(trait.key)
            }
        spelled = ", ".join(f"{path}: {value}" for path, value in found.items())
        yield Finding(
            keys=stated,
            reason=(
                f"the {settings.gpu_nodes.noun}s have several {trait.of} ({spelled}), but "
                f"{trait.why}"
            ),
            fix="make them alike, or set retiring: true in the one that the others replace",
        )
