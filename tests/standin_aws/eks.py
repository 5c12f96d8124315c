"""EKS's documented rules on managed node groups, each with its source.

"API reference" is the documentation in EKS's service model (API version 2017-11-01).
"""

import json
import re
from typing import Any

from tests.standin_aws.world import NODE_GROUP, Properties

RESERVED_PREFIXES = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")


class Refused(Exception):  # noqa: N818 - as in config.load
    """Refusal of a call by AWS."""


def new_group(world: Properties, inputs: Properties) -> Properties:
    """Return what EKS adds to a new group."""
    name = inputs["nodeGroupName"]
    partition = world["partition"]
    return {
        "id": f"{inputs['clusterName']}:{name}",
        "arn": f"arn:{partition}:eks::123456789012:nodegroup/{inputs['clusterName']}/{name}",
        "resources": [{"autoscalingGroups": [{"name": f"eks-{name}"}]}],
        "status": "ACTIVE",
    }


def acceptable_group(world: Properties, group: Properties) -> None:
    """Hold a group to what EKS accepts."""
    size = group["scalingConfig"]
    # "Minimum capacity can't be greater than desired size" and its like for the maximum.
    if not size["minSize"] <= size["desiredSize"] <= size["maxSize"]:
        raise Refused(f"InvalidParameterException: min <= desired <= max does not hold: {size}")
    for key, value in (group.get("labels") or {}).items():
        # aws/containers-roadmap#1451; lengths: API reference, labelKey and labelValue. The prefix
        # is the whole domain or its end, so that k8s.amazonaws.com/accelerator is none of them.
        if re.search(rf"(^|\.)({'|'.join(map(re.escape, RESERVED_PREFIXES))})", key):
            raise Refused(
                "InvalidParameterException: Label cannot contain reserved prefixes "
                f"[{', '.join(RESERVED_PREFIXES)}]"
            )
        if not (1 <= len(key) <= 63 and 1 <= len(value) <= 63):
            raise Refused(f"InvalidParameterException: label {key}={value}: 1 to 63 characters")
    for taint in group.get("taints") or []:
        # API reference, taintKey and taintValue.
        if not (1 <= len(taint["key"]) <= 63 and len(taint.get("value", "")) <= 63):
            raise Refused(f"InvalidParameterException: taint {taint}: at most 63 characters")
    # API reference, NodegroupUpdateConfig: "The maximum number is 100."
    if not 1 <= group["updateConfig"]["maxUnavailable"] <= 100:
        raise Refused("InvalidParameterException: maxUnavailable is 1 to 100")
    # API reference, CreateNodegroup: "you can specify 0-20 instance types".
    if len(group["instanceTypes"]) > 20:
        raise Refused("InvalidParameterException: at most 20 instance types")
    _trusted_role(world, group["nodeRoleArn"])


def changed_group(world: Properties, old: Properties, new: Properties) -> Properties:
    """Change a group as the provider and EKS do.

    The provider sends the whole scaling block as soon as a part of it differs from the state, and
    none of it otherwise (terraform-provider-aws, internal/service/eks/node_group.go). "If this
    parameter is given a value that is smaller than the current number of running worker nodes, the
    necessary number of worker nodes are terminated" (API reference, desiredSize).

    Args:
        world: The world, whose group is changed.
        old: State, which may be older than the world.
        new: Inputs.
    """
    group = world["resources"][NODE_GROUP][old["id"]]
    sent = {key: value for key, value in new.items() if value != old.get(key)}
    if world["refuse_updates"]:
        raise Refused(world["refuse_updates"])
    after = {**group, **sent}
    acceptable_group(world, after)
    ended = group["scalingConfig"]["desiredSize"] - after["scalingConfig"]["desiredSize"]
    if ended > 0:
        name = group["nodeGroupName"]
        world["ended"][name] = world["ended"].get(name, 0) + ended
    return after


def list_groups(world: Properties, arguments: dict[str, Any]) -> Properties:
    """List the groups of a cluster; a cluster without groups has an empty list."""
    groups = world["resources"].get(NODE_GROUP, {}).values()
    cluster = arguments["clusterName"]
    names = [group["nodeGroupName"] for group in groups if group["clusterName"] == cluster]
    return {"id": cluster, "clusterName": cluster, "names": names}


def describe_group(world: Properties, arguments: dict[str, Any]) -> Properties:
    """Describe a group; one that is not there is an error."""
    identifier = f"{arguments['clusterName']}:{arguments['nodeGroupName']}"
    group = world["resources"].get(NODE_GROUP, {}).get(identifier)
    if group is None:
        raise Refused(f"reading EKS Node Group ({identifier}): couldn't find resource")
    kept = ("id", "arn", "clusterName", "nodeGroupName", "nodeRoleArn", "status", "tags")
    kept += ("amiType", "capacityType", "instanceTypes", "subnetIds")
    return {**{key: group.get(key) for key in kept}, "scalingConfigs": [group["scalingConfig"]]}


def known_policy(world: Properties, attachment: Properties) -> None:
    """Refuse a policy of another partition, which IAM cannot find."""
    if not attachment["policyArn"].startswith(f"arn:{world['partition']}:iam::aws:policy/"):
        raise Refused(f"NoSuchEntity: policy {attachment['policyArn']} does not exist")


def _trusted_role(world: Properties, arn: str) -> None:
    """Refuse a role that EC2 may not take, with EKS's words (awslabs/cdk-eks-blueprints#558)."""
    service = "ec2.amazonaws.com.cn" if world["partition"] == "aws-cn" else "ec2.amazonaws.com"
    roles = world["resources"].get("aws:iam/role:Role", {}).values()
    trusts = [json.loads(role["assumeRolePolicy"]) for role in roles if role["arn"] == arn]
    trusted = [item["Principal"]["Service"] for trust in trusts for item in trust["Statement"]]
    if service not in trusted:
        raise Refused(
            f"InvalidRequestException: Following required service principals [{service}] were not "
            f"found in the trust relationships of nodeRole {arn}"
        )
