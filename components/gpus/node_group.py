"""GPU capacity: one EKS managed node group, for GPU pods only."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components.gpus.node_count import (
    GroupResources,
    desired_size,
    earlier_version,
    ended_nodes,
    find_running,
    kept_nodes,
    replaced_nodes,
    require_bounds,
)
from components.gpus.node_role import node_role
from components.state.engine import owner_tags
from config.sections.gpu_nodes import GPU_RESOURCE
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.sections.node_groups import NodeGroup
from config.units import MIB_PER_GIB
from config.user_data import user_data

EKS_TAINT_EFFECTS = {
    "NoSchedule": "NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
}
"""EKS's spelling of Kubernetes' taint effects."""

NODE_TEMPLATE = "k8s.io/cluster-autoscaler/node-template"
"""Prefix of the tags that describe an empty group's nodes to the Cluster Autoscaler."""


@dataclass(frozen=True, kw_only=True)
class GpuNodeGroupArgs:
    """Parameters of the nodes, and the cluster that they join."""

    config: NodeGroup
    gpus_per_node: int
    """GPUs, or shares of shared ones, that a node advertises."""
    gpu_resource: str = GPU_RESOURCE
    """Extended resource of the GPUs."""
    sharing: GpuSharing = field(default_factory=NotShared)
    """Sharing of the GPUs, which Bottlerocket's own device plugin reads from the user data."""
    cluster_name: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    path: str = "gpuNodes.groups[0]"
    """YAML path of `config`, for messages."""


class GpuNodeGroup(pulumi.ComponentResource):
    """Tainted GPU nodes, with their launch template and IAM role.

    The cluster's autoscaler owns their number between min and max. The program reads the running
    number and sends it to EKS, within the stated bounds. Only a `maxSize` below that number ends
    nodes, and the preview says how many. One race remains: the provider sends the number whenever
    it changes the bounds, and a node that the autoscaler adds between the two calls ends again. The
    rollout of a new AMI or template comes in between, which can take an hour.

    EKS tags the Auto Scaling group for discovery; this component adds only the node-template tags.
    The platform team owns the VPC, the cluster and its autoscaler.
    """

    node_group_name: pulumi.Output[str]
    """Physical name, as the EKS console shows it."""

    role_arn: pulumi.Output[str]
    """IAM role of the nodes."""

    def __init__(
        self, name: str, args: GpuNodeGroupArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:GpuNodeGroup", name, None, opts)
        nodes = args.config
        tags = {**nodes.tags, **owner_tags()}

        lookup = pulumi.InvokeOptions(parent=self)
        role_arn, attachments = node_role(name, nodes, tags, self)
        # A number and not "$Latest", which would differ from what EKS reports at every preview.
        if nodes.launch_template:
            own, version = nodes.launch_template.id, str(nodes.launch_template.version)
            template: Any = {"id": own, "version": version}
        else:
            written = self._launch_template(name, args, tags)
            template = {"id": written.id, "version": written.latest_version.apply(str)}

        kept_template: pulumi.Output[str] = pulumi.Output.from_input(template["id"])
        subnets = pulumi.Output.from_input(nodes.subnet_ids or args.subnet_ids)

        async def size(known: Sequence[Any]) -> int:
            cluster, ids = known
            # A preview does not know those that it is to create.
            role, template_id = await role_arn.future(), await kept_template.future()
            resources = GroupResources(subnets=ids, role_arn=role, template_id=template_id)
            running = await find_running(cluster, role, nodes, lookup)
            if running and (back := earlier_version(nodes, running, args.path)):
                pulumi.log.warn(back, self)
            if running and (outage := replaced_nodes(nodes, running, args.path, resources)):
                pulumi.log.warn(outage, self)
            elif running and (ends := ended_nodes(nodes, running, args.path)):
                pulumi.log.warn(ends, self)
            elif running:
                # With an older state, Pulumi shows a change to this number, but no node changes.
                pulumi.log.info(kept_nodes(nodes, running, args.path), self)
            return desired_size(nodes, running)

        group = aws.eks.NodeGroup(
            f"{name}-nodes",
            cluster_name=args.cluster_name,
            node_role_arn=role_arn,
            subnet_ids=subnets,
            ami_type=nodes.ami_type,
            # EKS wants the type of a Capacity Block in the launch template, and there alone.
            instance_types=None if _in_block(nodes) else nodes.instance_types,
            version=nodes.kubernetes_version,
            release_version=nodes.release_version,
            capacity_type=nodes.capacity_type,
            launch_template=template,
            scaling_config={
                "min_size": nodes.lowest_size,
                "max_size": nodes.max_size,
                "desired_size": pulumi.Output.all(args.cluster_name, subnets).apply(size),
            },
            labels=nodes.node_labels,
            taints=[
                {"key": taint.key, "value": taint.value, "effect": EKS_TAINT_EFFECTS[taint.effect]}
                for taint in nodes.taints
            ],
            update_config={
                "max_unavailable": nodes.max_unavailable,
                "update_strategy": nodes.update_strategy,
            },
            node_repair_config={"enabled": True},
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                # A node that starts before its role has permissions never joins. On destroy, the
                # nodes need their permissions until they are gone.
                depends_on=attachments,
            ),
        )
        self._node_template_tags(name, args, group)

        async def confirmed(known: Sequence[str]) -> str:
            if pulumi.runtime.is_dry_run():
                return known[1]
            return await require_bounds(nodes, known[0], known[1], lookup, args.path)

        named = pulumi.Output.all(group.cluster_name, group.node_group_name)
        self.node_group_name = named.apply(confirmed)
        self.role_arn = role_arn
        self.register_outputs({"nodeGroupName": self.node_group_name, "roleArn": self.role_arn})

    def _launch_template(
        self, name: str, args: GpuNodeGroupArgs, tags: dict[str, str]
    ) -> aws.ec2.LaunchTemplate:
        nodes = args.config
        stated = user_data(nodes, args.sharing)
        # Bottlerocket keeps images on its second disk; the first holds the system and stays as
        # small as the AMI makes it.
        system_first = nodes.ami_type.startswith("BOTTLEROCKET")
        disks = {"/dev/xvda": None, "/dev/xvdb": nodes.disk_gib}
        return aws.ec2.LaunchTemplate(
            f"{name}-launch-template",
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name=device,
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=gib,
                        volume_type="gp3",
                        # The system's disk on Bottlerocket needs no more than gp3's baseline.
                        throughput=gib and nodes.disk_throughput_mibps,
                        iops=gib and nodes.disk_iops,
                        kms_key_id=nodes.kms_key_arn,
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
                for device, gib in (
                    disks if system_first else {"/dev/xvda": nodes.disk_gib}
                ).items()
            ],
            # Pods are one hop further away than the node, and so cannot take the node's identity.
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            # The group's own tags do not reach them, nor do the provider's default tags.
            tag_specifications=[
                {"resource_type": kind, "tags": tags}
                for kind in ("instance", "volume", "network-interface")
            ],
            user_data=base64.b64encode(stated.encode()).decode() if stated else None,
            **_reservation(nodes),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _node_template_tags(
        self, name: str, args: GpuNodeGroupArgs, group: aws.eks.NodeGroup
    ) -> None:
        nodes = args.config
        disk_mib = math.floor(nodes.allocatable_disk_gib * MIB_PER_GIB)
        templates = {
            **{f"label/{key}": value for key, value in nodes.node_labels.items()},
            **{f"taint/{taint.key}": f"{taint.value}:{taint.effect}" for taint in nodes.taints},
            f"resources/{args.gpu_resource}": str(args.gpus_per_node),
            # The autoscaler does not look up disks, and every replica requests some.
            "resources/ephemeral-storage": f"{disk_mib}Mi",
        }
        # A node group's own tags do not reach its Auto Scaling group.
        scaling_group = group.resources[0].autoscaling_groups[0].name
        for key, value in templates.items():
            aws.autoscaling.Tag(
                f"{name}-{key.replace('/', '-')}",
                autoscaling_group_name=scaling_group.apply(lambda found: found or ""),
                tag={
                    "key": f"{NODE_TEMPLATE}/{key}",
                    "value": value,
                    "propagate_at_launch": False,
                },
                opts=pulumi.ResourceOptions(parent=self, protect=False),
            )


def _in_block(nodes: NodeGroup) -> bool:
    return nodes.capacity_type == "CAPACITY_BLOCK"


def _reservation(nodes: NodeGroup) -> dict[str, Any]:
    """Return the fields of a launch template that keep the nodes in their capacity reservation.

    Those of a Capacity Block are of the EKS user guide, "Create a managed node group with Capacity
    Blocks for ML".
    """
    if nodes.capacity_reservation_id is None:
        return {}
    target = {"capacity_reservation_id": nodes.capacity_reservation_id}
    if _in_block(nodes):
        return {
            "capacity_reservation_specification": {"capacity_reservation_target": target},
            "instance_market_options": {"market_type": "capacity-block"},
            "instance_type": nodes.instance_types[0],
        }
    return {
        "capacity_reservation_specification": {
            "capacity_reservation_preference": "capacity-reservations-only",
            "capacity_reservation_target": target,
        }
    }
