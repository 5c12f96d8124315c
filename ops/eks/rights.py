"""IAM actions that the AWS provider calls for the program's resources and functions.

Read from the provider's sources (terraform-provider-aws, `internal/service/<service>/<file>.go`,
2025) and the Service Authorization Reference. No call was made: AWS may ask for more.
"""

from collections.abc import Iterable

RIGHTS: dict[str, tuple[str, ...]] = {
    # iam/role.go: the provider lists what is attached before it deletes a role.
    "aws:iam/role:Role": (
        "iam:CreateRole",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListInstanceProfilesForRole",
        "iam:ListRolePolicies",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:UpdateRole",
    ),
    # iam/role_policy_attachment.go
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:ListAttachedRolePolicies",
    ),
    # iam/role_policy.go
    "aws:iam/rolePolicy:RolePolicy": (
        "iam:DeleteRolePolicy",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
    ),
    # ec2/ec2_launch_template.go
    "aws:ec2/launchTemplate:LaunchTemplate": (
        "ec2:CreateLaunchTemplate",
        "ec2:CreateLaunchTemplateVersion",
        "ec2:CreateTags",
        "ec2:DeleteLaunchTemplate",
        "ec2:DeleteTags",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeLaunchTemplates",
        "ec2:ModifyLaunchTemplate",
    ),
    # eks/node_group.go. EKS starts nodes from a launch template with the caller's rights, and makes
    # its service-linked role with the first group (EKS user guide, "Customize managed nodes with
    # launch templates" and "Using roles for Amazon EKS node groups").
    "aws:eks/nodeGroup:NodeGroup": (
        "ec2:DescribeSubnets",
        "ec2:RunInstances",
        "eks:CreateNodegroup",
        "eks:DeleteNodegroup",
        "eks:DescribeNodegroup",
        "eks:DescribeUpdate",
        "eks:TagResource",
        "eks:UntagResource",
        "eks:UpdateNodegroupConfig",
        "eks:UpdateNodegroupVersion",
        "iam:CreateServiceLinkedRole",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:PassRole",
    ),
    # autoscaling/tag.go
    "aws:autoscaling/tag:Tag": (
        "autoscaling:CreateOrUpdateTags",
        "autoscaling:DeleteTags",
        "autoscaling:DescribeTags",
    ),
    # eks/pod_identity_association.go
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (
        "eks:CreatePodIdentityAssociation",
        "eks:DeletePodIdentityAssociation",
        "eks:DescribePodIdentityAssociation",
        "eks:ListPodIdentityAssociations",
        "eks:TagResource",
        "eks:UntagResource",
        "eks:UpdatePodIdentityAssociation",
        "iam:GetRole",
        "iam:PassRole",
    ),
    "aws:eks/getNodeGroups:getNodeGroups": ("eks:ListNodegroups",),
    "aws:eks/getNodeGroup:getNodeGroup": ("eks:DescribeNodegroup",),
    # The provider knows the partition from the account: its start asks for the identity.
    "aws:index/getPartition:getPartition": ("sts:GetCallerIdentity",),
}
"""Actions by the token of a resource type or function."""


def actions(tokens: Iterable[str]) -> list[str]:
    """Return the actions that resources and functions need, each once, sorted.

    Args:
        tokens: Type tokens of resources, and tokens of functions.

    Raises:
        KeyError: A token has no entry in `RIGHTS`.
    """
    return sorted({action for token in tokens for action in RIGHTS[token]})


def markdown() -> str:
    """Return the actions by service, as lines of a Markdown list."""
    by_service: dict[str, list[str]] = {}
    for action in actions(RIGHTS):
        service, _, operation = action.partition(":")
        by_service.setdefault(service, []).append(operation)
    return "\n".join(
        f"- `{service}`: {', '.join(f'`{operation}`' for operation in operations)}"
        for service, operations in by_service.items()
    )
