"""IAM role of a group's nodes: the stack's own, or one of another owner."""

import json

import pulumi
import pulumi_aws as aws

from config.sections.node_groups import NodeGroup

NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")
"""AWS managed policies that every node needs (EKS user guide, "Amazon EKS node IAM role")."""

VPC_CNI_POLICY = "AmazonEKS_CNI_Policy"
"""Needed on the node if the VPC CNI add-on has no role of its own."""

SSM_POLICY = "AmazonSSMManagedInstanceCore"
"""Needed on the node for Session Manager."""


def node_role(
    name: str, nodes: NodeGroup, tags: dict[str, str], parent: pulumi.Resource
) -> tuple[pulumi.Output[str], list[aws.iam.RolePolicyAttachment]]:
    """Return the ARN of the nodes' role, and the policies attached to the stack's own.

    Args:
        name: Name of the group.
        nodes: Its parameters.
        tags: AWS tags.
        parent: Component that the role is a part of.
    """
    if nodes.role_arn:
        return pulumi.Output.from_input(nodes.role_arn), []
    partition = aws.get_partition_output(opts=pulumi.InvokeOptions(parent=parent))
    role = aws.iam.Role(
        f"{name}-role",
        assume_role_policy=partition.dns_suffix.apply(_trust),
        permissions_boundary=nodes.permissions_boundary_arn,
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    policies = [
        *NODE_POLICIES,
        *((VPC_CNI_POLICY,) if nodes.vpc_cni_policy else ()),
        *((SSM_POLICY,) if nodes.ssm else ()),
    ]
    attachments = [
        aws.iam.RolePolicyAttachment(
            f"{name}-{policy}",
            role=role.name,
            policy_arn=pulumi.Output.format(
                "arn:{0}:iam::aws:policy/{1}", partition.partition, policy
            ),
            # Protection is for the nodes: without it a parameter could not change these.
            opts=pulumi.ResourceOptions(parent=parent, protect=False),
        )
        for policy in policies
    ]
    return role.arn, attachments


def _trust(dns_suffix: str) -> str:
    """Return the trust policy of the nodes' role.

    In China EKS asks for `ec2.amazonaws.com.cn` and refuses a node group whose role trusts
    `ec2.amazonaws.com` alone (awslabs/cdk-eks-blueprints#558).

    Args:
        dns_suffix: DNS suffix of the AWS partition, such as `amazonaws.com`.
    """
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"ec2.{dns_suffix}"},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
