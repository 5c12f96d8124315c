"""Read access to the models in S3, for the pods of one ServiceAccount only."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components.state.engine import is_applied, owner_tags
from components.triton.eks_cluster import EksCluster
from config.sections.triton import S3Repository

EFFECTIVE_SECONDS = 20
"""Time until a new association is effective. "Eventually consistent, and may take several seconds
to be effective after the initial API call returns" (EKS API, CreatePodIdentityAssociation); a pod
that is created earlier never gets credentials (terraform-aws-eks-pod-identity#8)."""


@dataclass(frozen=True, kw_only=True)
class ModelAccessArgs:
    """The folder of the models, and the ServiceAccount that may read it."""

    config: S3Repository
    namespace: str
    service_account: str
    eks: EksCluster = field(default_factory=EksCluster)
    """EKS cluster of the ServiceAccount."""


class ModelAccess(pulumi.ComponentResource):
    """An IAM role that may read one folder of one bucket, and its binding to the ServiceAccount.

    The folder holds every revision: a replica of an earlier revision may start again.

    For an existing role, it declares only the binding: an association for Pod Identity, nothing for
    IRSA, whose binding is an annotation of the ServiceAccount. The platform team owns the bucket,
    its key and the cluster's Pod Identity Agent. A bucket that is encrypted with a KMS key needs an
    existing role, which may use that key.
    """

    role_arn: pulumi.Output[str]
    """The role."""

    account_annotations: Mapping[str, pulumi.Output[str]]
    """Annotations that the ServiceAccount needs."""

    identity: pulumi.Output[str]
    """ID of the association for Pod Identity, ARN of the role for IRSA. EKS injects credentials
    when it creates a pod, so pods are to be replaced if it changes."""

    def __init__(
        self, name: str, args: ModelAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:ModelAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        needs: list[pulumi.Resource] = []
        if args.config.role_arn:
            self.role_arn = pulumi.Output.from_input(args.config.role_arn)
        else:
            lookup = pulumi.InvokeOptions(parent=self)
            partition = aws.get_partition_output(opts=lookup).partition
            role = aws.iam.Role(
                f"{name}-role",
                assume_role_policy=_trust(args),
                tags=owner_tags(),
                opts=child,
            )
            needs = [
                aws.iam.RolePolicy(
                    f"{name}-policy",
                    role=role.name,
                    policy=partition.apply(
                        lambda partition: json.dumps(read_policy(args.config.uri, partition))
                    ),
                    opts=child,
                )
            ]
            self.role_arn = role.arn
        self.identity = self.role_arn
        self.account_annotations = {"eks.amazonaws.com/role-arn": self.role_arn}
        if args.config.identity == "podIdentity":
            association = aws.eks.PodIdentityAssociation(
                f"{name}-association",
                cluster_name=pulumi.Output.from_input(args.eks.name).apply(
                    lambda cluster: _stated(cluster, "the name of the EKS cluster")
                ),
                namespace=args.namespace,
                service_account=args.service_account,
                role_arn=self.role_arn,
                # S3 refuses a pod that asks before the role may read, and the pod retries for long.
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=needs,
                    # Not under mocks, whose monitor has no server for hooks.
                    hooks=_wait_once(name) if is_applied() else None,
                ),
            )
            self.identity = association.association_id
            self.account_annotations = {}
        self.register_outputs({"roleArn": self.role_arn})


def _wait_once(name: str) -> pulumi.ResourceHookBinding:
    """Let dependents of a new association wait until it is effective; old ones wait for nothing."""
    hook = pulumi.ResourceHook(f"{name}-effective", _wait)
    return pulumi.ResourceHookBinding(after_create=[hook])


async def _wait(args: pulumi.ResourceHookArgs) -> None:
    pulumi.log.info(f"{args.name}: waits {EFFECTIVE_SECONDS} s until EKS injects its role")
    await asyncio.sleep(EFFECTIVE_SECONDS)


def read_policy(uri: str, partition: str) -> dict[str, Any]:
    """Return the IAM policy that lists and reads one folder.

    Args:
        uri: Folder, `s3://bucket/prefix`.
        partition: AWS partition of the bucket, such as `aws` or `aws-cn`.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    arn = f"arn:{partition}:s3:::{bucket}"
    inside = {"Condition": {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}} if prefix else {}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn, **inside},
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"{arn}/{prefix}/*" if prefix else f"{arn}/*",
            },
        ],
    }


def _trust(args: ModelAccessArgs) -> pulumi.Input[str]:
    """Return the IAM trust policy, which names the principal that may assume the role.

    The two service names are the same in every partition: EKS's webhook asks for tokens of audience
    `sts.amazonaws.com` in China too (terraform-aws-modules/terraform-aws-eks#1704). AWS offers Pod
    Identity in all partitions but China's (EKS user guide); there, use `irsa`.
    """
    if args.config.identity == "podIdentity":
        return _document(
            Principal={"Service": "pods.eks.amazonaws.com"},
            Action=["sts:AssumeRole", "sts:TagSession"],
        )

    def trust(provider: list[str | None]) -> str:
        arn = _stated(provider[0], "the ARN of the cluster's OIDC provider")
        issuer = _stated(provider[1], "the URL of the cluster's OIDC provider")
        issuer = issuer.removeprefix("https://")
        account = f"system:serviceaccount:{args.namespace}:{args.service_account}"
        return _document(
            Principal={"Federated": arn},
            Action="sts:AssumeRoleWithWebIdentity",
            Condition={
                "StringEquals": {f"{issuer}:sub": account, f"{issuer}:aud": "sts.amazonaws.com"}
            },
        )

    return pulumi.Output.all(args.eks.oidc_provider_arn, args.eks.oidc_provider_url).apply(trust)


def _document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def _stated(value: str | None, what: str) -> str:
    if not value:
        raise pulumi.RunError(f"models in S3 need {what}; the platform does not state it")
    return value
