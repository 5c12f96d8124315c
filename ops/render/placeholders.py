"""Placeholders for values that only an engine, a cluster or AWS knows."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from config.sections.platform import PLATFORM_OUTPUTS

PLACEHOLDER = "placeholder"

_ACCOUNT = "000000000000"
_REGION = "xx-placeholder-1"

_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": PLACEHOLDER,
    "clusters": [{"name": PLACEHOLDER, "cluster": {"server": "https://placeholder.invalid"}}],
    "contexts": [{"name": PLACEHOLDER, "context": {"cluster": PLACEHOLDER, "user": PLACEHOLDER}}],
    "users": [{"name": PLACEHOLDER, "user": {"token": PLACEHOLDER}}],
}

_KNOWN_FORMS: dict[str, object] = {
    # Their form matters: a program may parse a kubeconfig, or split an ARN.
    "kubeconfig": json.dumps(_KUBECONFIG),
    "clusterName": "placeholder-cluster",
    "subnetIds": ["subnet-placeholder-a", "subnet-placeholder-b"],
    "oidcProviderArn": f"arn:aws:iam::{_ACCOUNT}:oidc-provider/oidc.placeholder.invalid/id/0",
    "oidcProviderUrl": "https://oidc.placeholder.invalid/id/0",
}


def platform_outputs() -> dict[str, object]:
    """Return placeholders for the outputs of a platform team's stack, by output name."""
    return {name: _KNOWN_FORMS.get(name, f"placeholder-{name}") for name in PLATFORM_OUTPUTS}


def computed_outputs(pulumi_type: str, name: str) -> dict[str, object]:
    """Return placeholders for the outputs that a provider computes for a resource.

    Args:
        pulumi_type: Pulumi's type token, such as `aws:iam/role:Role`.
        name: The resource's logical name.
    """
    if pulumi_type == "kubernetes:core/v1:Service":
        return {"status": {"loadBalancer": {"ingress": [{"hostname": "placeholder.invalid"}]}}}
    if pulumi_type == "kubernetes:helm.sh/v3:Release":
        return {"status": {"name": name, "status": "deployed"}}
    if not pulumi_type.startswith("aws:"):
        return {}
    package, _, kind = pulumi_type.partition(":")[2].partition("/")
    computed: dict[str, object] = {
        "arn": f"arn:aws:{package}:{_REGION}:{_ACCOUNT}:{kind.partition(':')[0]}/{name}",
        "name": name,
    }
    if pulumi_type == "aws:ec2/launchTemplate:LaunchTemplate":
        computed["latestVersion"] = 1
    if pulumi_type == "aws:eks/podIdentityAssociation:PodIdentityAssociation":
        computed["associationId"] = f"{PLACEHOLDER}-association"
    if pulumi_type == "aws:eks/nodeGroup:NodeGroup":
        computed["nodeGroupName"] = name
        computed["resources"] = [{"autoscalingGroups": [{"name": f"{name}-asg"}]}]
    return computed


def looked_up(
    token: str, arguments: Mapping[str, Any], groups: Iterable[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Answer a function of a provider as an account without any resources would.

    Args:
        token: Pulumi's token of the function.
        arguments: Its arguments.
        groups: Inputs of the node groups that the program has declared.

    Returns:
        The answer, in partition `aws`; None for an unknown function.
    """
    if token == "aws:index/getPartition:getPartition":  # noqa: S105 - names a function
        return {
            "partition": "aws",
            "dnsSuffix": "amazonaws.com",
            "reverseDnsPrefix": "com.amazonaws",
        }
    if token == "aws:eks/getNodeGroups:getNodeGroups":  # noqa: S105
        return {"clusterName": arguments["clusterName"], "names": []}
    if token == "aws:eks/getNodeGroup:getNodeGroup":  # noqa: S105
        # The program asks once a group exists: EKS returns the declared inputs.
        return {
            "nodeGroupName": arguments["nodeGroupName"],
            "status": "ACTIVE",
            "scalingConfigs": [group["scalingConfig"] for group in groups][-1:],
        }
    return None
