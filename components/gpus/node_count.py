"""Desired size of a managed node group: the running number, for EKS to keep."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.state.engine import owner_tags
from config.problem import text
from config.sections.node_groups import GROUP_LABEL, NodeGroup


@dataclass(frozen=True)
class RunningGroup:
    """A managed node group as EKS describes it."""

    name: str
    """Physical name."""

    status: str
    """Status, such as `ACTIVE` or `DELETING`."""

    min_size: int
    """Fewest nodes."""

    max_size: int
    """Most nodes."""

    desired_size: int
    """Nodes that the Auto Scaling group keeps running now."""

    fixed: Mapping[str, object] = field(default_factory=dict[str, object])
    """Facts that EKS cannot change in place, by the parameter that states them."""

    version: str = ""
    """Kubernetes version, such as `1.34`; empty if unknown."""


@dataclass(frozen=True, kw_only=True)
class GroupResources:
    """Resources that a node group gets and keeps for its life."""

    subnets: Sequence[str]
    """Subnets, which the group or the platform states."""

    role_arn: str | None
    """IAM role of the nodes; None if this run creates it."""

    template_id: str | None
    """Launch template; None if this run creates it."""


def desired_size(nodes: NodeGroup, running: RunningGroup | None) -> int:
    """Return the number of nodes to send to EKS: the running number within the bounds.

    EKS ends nodes if the desired size is smaller than the number that runs (EKS API reference,
    NodegroupScalingConfig).

    Args:
        nodes: The stated bounds.
        running: The group that runs; None if there is none yet.
    """
    if running is None:
        return nodes.lowest_size
    return min(max(running.desired_size, nodes.lowest_size), nodes.max_size)


def ended_nodes(nodes: NodeGroup, running: RunningGroup, path: str) -> str:
    """Describe the running nodes that a smaller `maxSize` ends; empty if it ends none."""
    ended = running.desired_size - nodes.max_size
    if ended <= 0:
        return ""
    return (
        f"{path}.maxSize {nodes.max_size} ends {ended} of {running.desired_size} running nodes "
        f"of node group {running.name}: their pods move to the nodes that stay, or wait"
    )


def replaced_nodes(
    nodes: NodeGroup, running: RunningGroup, path: str, resources: GroupResources
) -> str:
    """Describe the outage of a group that EKS cannot change in place; empty if it can.

    The provider replaces a group with another role or template (`ForceNew` of `node_role_arn` and
    `launch_template.id` in terraform-provider-aws, `internal/service/eks/node_group.go`), also if
    the stack creates them in place of those of another owner.

    Args:
        nodes: The stated parameters.
        running: The group that runs.
        path: YAML path of `nodes`.
        resources: Resources that the group gets.
    """
    stated: dict[str, object] = {
        "amiType": nodes.ami_type,
        "capacityType": nodes.capacity_type,
        "instanceTypes": list(nodes.instance_types),
        "subnetIds": sorted(resources.subnets),
        "roleArn": resources.role_arn,
        "launchTemplate.id": resources.template_id,
    }
    own = {
        "roleArn": not nodes.role_arn,
        "launchTemplate.id": not nodes.launch_template,
    }
    changed = [
        f"{_place(nodes, path, key)} {text(running.fixed[key])} -> "
        + ("the stack's own" if own.get(key) else text(value))
        for key, value in stated.items()
        if running.fixed.get(key, value) != value
    ]
    if not changed or not running.desired_size:
        return ""
    return (
        f"OUTAGE: {', '.join(changed)} replaces node group {running.name}. Its "
        f"{running.desired_size} nodes end as soon as the new group exists, and their replicas "
        "with them, before others are ready. Add a group under another name beside it instead "
        "(docs/eks.md, Replace a node group)"
    )


def _place(nodes: NodeGroup, path: str, key: str) -> str:
    if key == "subnetIds" and not nodes.subnet_ids:
        return "the platform's subnetIds"
    return f"{path}.{key}"


def earlier_version(nodes: NodeGroup, running: RunningGroup, path: str) -> str:
    """Describe the refusal of a Kubernetes version below that of the nodes; empty if it is not.

    "You cannot roll back a node group to an earlier Kubernetes version or AMI version" (EKS API
    reference, UpdateNodegroupVersion).
    """
    stated = nodes.kubernetes_version
    if not stated or not running.version or _minor(stated) >= _minor(running.version):
        return ""
    return (
        f"{path}.kubernetesVersion {stated}: node group {running.name} runs {running.version}, "
        "and EKS refuses an earlier version. Add a group under another name that states it "
        "(docs/eks.md, Rollback)"
    )


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def kept_nodes(nodes: NodeGroup, running: RunningGroup, path: str) -> str:
    """Describe the fate of the running nodes if none of them ends."""
    runs = f"node group {running.name} runs {running.desired_size} nodes"
    started = nodes.lowest_size - running.desired_size
    if started > 0:
        return f"{runs}; {path}.minSize {nodes.lowest_size} starts {started} more"
    return f"{runs} and keeps them: its desired size is that number"


async def find_running(
    cluster: str, role_arn: str | None, nodes: NodeGroup, opts: pulumi.InvokeOptions
) -> RunningGroup | None:
    """Find a node group by the IAM role of its nodes, or by its tags and its label.

    Pulumi generates the name of a group and of its replacement. The role that the stack creates
    belongs to one group alone and outlives the group's replacement. A role of another owner may
    belong to many groups, and a group may be about to get another role: there the stack's tags and
    the label with the group's name count. While an old group and its replacement both exist, the
    one that is not being deleted counts, and of two such groups the larger.

    Args:
        cluster: Name of the EKS cluster.
        role_arn: ARN of the nodes' IAM role; None if this run creates it.
        nodes: The stated parameters.
        opts: Options of the requests, which name the provider.

    Raises:
        RunError: AWS does not answer.
    """
    described = await asyncio.gather(
        *(_describe(cluster, name, opts) for name in await _names(cluster, opts))
    )
    ours = [
        group
        for group, found in filter(None, described)
        if (found.node_role_arn == role_arn and not nodes.role_arn)
        or (_is_named(nodes, found) and group.status != "DELETING")
    ]
    return max(ours, key=lambda g: (g.status != "DELETING", g.desired_size), default=None)


def _is_named(nodes: NodeGroup, found: aws.eks.GetNodeGroupResult) -> bool:
    tagged = owner_tags().items() <= dict(found.tags or {}).items()
    return tagged and dict(found.labels or {}).get(GROUP_LABEL) == nodes.name


async def require_bounds(
    nodes: NodeGroup, cluster: str, name: str, opts: pulumi.InvokeOptions, path: str
) -> str:
    """Return a group's name once EKS confirms the stated bounds.

    The provider writes the bounds that it sent into the state, even if EKS refused them, and then
    finds nothing to change.

    Raises:
        RunError: The group has other bounds, or AWS does not answer.
    """
    described = await _describe(cluster, name, opts)
    if described is None:
        raise pulumi.RunError(f"node group {name} of cluster {cluster} is gone: run `up --refresh`")
    group, _ = described
    if (group.min_size, group.max_size) != (nodes.lowest_size, nodes.max_size):
        raise pulumi.RunError(
            f"node group {name} has {group.min_size} to {group.max_size} nodes on EKS, and not "
            f"{path}.minSize {nodes.lowest_size} to {path}.maxSize {nodes.max_size}: EKS refused "
            "an earlier change, or the bounds were changed elsewhere. Run `pulumi up --refresh`"
        )
    return name


async def _names(cluster: str, opts: pulumi.InvokeOptions) -> Sequence[str]:
    try:
        found = await aws.eks.get_node_groups_output(cluster_name=cluster, opts=opts).future()
    except Exception as error:
        raise pulumi.RunError(
            f"the node groups of EKS cluster {cluster} cannot be listed, so that the number of "
            f"running GPU nodes is not known (eks:ListNodegroups): {error}"
        ) from None
    return found.names if found else ()


async def _describe(
    cluster: str, name: str, opts: pulumi.InvokeOptions
) -> tuple[RunningGroup, aws.eks.GetNodeGroupResult] | None:
    """Return a group, and all that EKS describes of it; None if the group is gone by now."""
    try:
        found = await aws.eks.get_node_group_output(
            cluster_name=cluster, node_group_name=name, opts=opts
        ).future()
    except Exception as error:
        if name not in await _names(cluster, opts):
            return None
        raise pulumi.RunError(
            f"node group {name} of EKS cluster {cluster} cannot be described, so that the number "
            f"of running GPU nodes is not known (eks:DescribeNodegroup): {error}"
        ) from None
    if found is None:
        return None
    size = found.scaling_configs[0]
    fixed = {
        "amiType": found.ami_type,
        "capacityType": found.capacity_type,
        "instanceTypes": list(found.instance_types or ()),
        "subnetIds": sorted(found.subnet_ids or ()),
        "roleArn": found.node_role_arn,
        "launchTemplate.id": next((one.id for one in found.launch_templates or ()), None),
    }
    running = RunningGroup(
        name,
        found.status,
        size.min_size,
        size.max_size,
        size.desired_size,
        {key: value for key, value in fixed.items() if value},
        found.version or "",
    )
    return running, found
