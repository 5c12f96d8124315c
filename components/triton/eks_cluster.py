"""An EKS cluster, as AWS knows it."""

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class EksCluster:
    """Facts of an EKS cluster; pods that read models from S3 get their AWS identity by them."""

    name: pulumi.Input[str] = ""
    """Name of the cluster, for Pod Identity and node groups; empty if unknown."""
    oidc_provider_arn: pulumi.Input[str | None] = None
    """ARN of its IAM OIDC provider, for IRSA."""
    oidc_provider_url: pulumi.Input[str | None] = None
    """Issuer URL of the OIDC provider, with or without `https://`, for IRSA."""
