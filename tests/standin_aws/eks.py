"""EKS's documented rules on managed node groups, each with its source.

"API reference" is the documentation in EKS's service model (API version 2017-11-01).
"""

import functools
import json
import re
from typing import Any

from botocore.loaders import Loader

from tests.standin_aws.world import ASSOCIATION, LAUNCH_TEMPLATE, NODE_GROUP, Properties

RESERVED_PREFIXES = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")


class Refused(Exception):  # noqa: N818 - as in config.load
    """Refusal of a call by AWS."""


def new_group(world: Properties, inputs: Properties) -> Properties:
    """Return what EKS adds to a new group."""
    name = inputs["nodeGroupName"]
    partition = world["partition"]
    # "All node groups are created with the latest AMI release version for the respective minor
    # Kubernetes version of the cluster" (API reference, CreateNodegroup).
    computed = {"version": world["version"], "releaseVersion": _newest(world, inputs)}
    return {
        **{key: inputs.get(key) or value for key, value in computed.items()},
        "id": f"{inputs['clusterName']}:{name}",
        "arn": f"arn:{partition}:eks::123456789012:nodegroup/{inputs['clusterName']}/{name}",
        "resources": [{"autoscalingGroups": [{"name": f"eks-{name}"}]}],
        "status": "ACTIVE",
    }


def acceptable_group(world: Properties, group: Properties) -> None:
    """Hold a new group to what EKS accepts."""
    # API reference, CreateNodegroup: "equal to the current Kubernetes version for the cluster".
    if group.get("version") not in (None, world["version"]):
        raise Refused(f"InvalidParameterException: the cluster has version {world['version']}")
    _acceptable_release(group.get("version") or world["version"], group.get("releaseVersion"))
    _acceptable(world, group)


def _acceptable(world: Properties, group: Properties) -> None:
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
    # EKS user guide, "Recipe: Prevent pods from being scheduled on specific nodes".
    if len(group.get("taints") or []) > 50:
        raise Refused("InvalidParameterException: at most 50 taints")
    # API reference, NodegroupUpdateConfig: "The maximum number is 100."
    if not 1 <= group["updateConfig"]["maxUnavailable"] <= 100:
        raise Refused("InvalidParameterException: maxUnavailable is 1 to 100")
    # API reference, AMITypes, CapacityTypes, NodegroupUpdateStrategies and TaintEffect.
    for shape, value in (
        ("AMITypes", group.get("amiType")),
        ("CapacityTypes", group.get("capacityType")),
        ("NodegroupUpdateStrategies", group["updateConfig"].get("updateStrategy")),
        *(("TaintEffect", taint["effect"]) for taint in group.get("taints") or []),
    ):
        if value is not None and value not in _values(shape):
            raise Refused(f"InvalidParameterException: {value} is none of {shape}")
    # EKS user guide, "Create a managed node group for your cluster": the name of the group.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", group["nodeGroupName"]):
        raise Refused(f"InvalidParameterException: nodegroupName {group['nodeGroupName']}")
    # API reference, CreateNodegroup: `subnets` is required.
    if not group["subnetIds"]:
        raise Refused("InvalidParameterException: Subnet list cannot be empty")
    _acceptable_tags(group.get("tags") or {})
    _acceptable_template(world, group)
    _trusted_role(world, group["nodeRoleArn"])


def _acceptable_tags(tags: dict[str, str]) -> None:
    """Hold tags to the restrictions of the API reference, TagMap."""
    if len(tags) > 50:
        raise Refused("InvalidParameterException: at most 50 tags")
    for key, value in tags.items():
        if not (1 <= len(key) <= 128 and len(value) <= 256) or key.lower().startswith("aws:"):
            raise Refused(f"InvalidParameterException: tag {key}={value}")


def _acceptable_template(world: Properties, group: Properties) -> None:
    """Hold instance types and launch template to the API reference, CreateNodegroup."""
    named = group["launchTemplate"]
    template = world["resources"].get(LAUNCH_TEMPLATE, {}).get(named["id"])
    if template is None or int(named["version"]) > template["latestVersion"]:
        raise Refused(f"InvalidRequestException: launch template {named} does not exist")
    types = group.get("instanceTypes") or []
    # "you can specify 0-20 instance types"
    if len(types) > 20:
        raise Refused("InvalidParameterException: at most 20 instance types")
    # "If however, you specify an instance type in your launch template and specify any
    # instanceTypes, the node group deployment will fail."
    if types and template.get("instanceType"):
        raise Refused("InvalidRequestException: instance types in the group and its template")
    # LaunchTemplateSpecification: what a template "can't include"; `diskSize` and `remoteAccess`
    # fail beside a template.
    wrong = [key for key in ("iamInstanceProfile", "hibernationOptions") if template.get(key)]
    wrong += [key for key in ("diskSize", "remoteAccess") if group.get(key)]
    market = (template.get("instanceMarketOptions") or {}).get("marketType")
    wrong += ["RequestSpotInstances"] if market == "spot" else []
    if wrong:
        raise Refused(f"InvalidRequestException: {', '.join(wrong)} with a launch template")
    # EKS user guide, "Create a managed node group with Capacity Blocks for ML".
    block = group.get("capacityType") == "CAPACITY_BLOCK"
    reservation = template.get("capacityReservationSpecification") or {}
    identified = (reservation.get("capacityReservationTarget") or {}).get("capacityReservationId")
    if block != (market == "capacity-block") or (block and not identified):
        raise Refused("InvalidRequestException: capacity block: type, market and reservation")


@functools.cache
def _values(shape: str) -> tuple[str, ...]:
    return tuple(Loader().load_service_model("eks", "service-2")["shapes"][shape]["enum"])


def _acceptable_release(version: str, release: str | None) -> None:
    """Refuse Amazon Linux of another version (hashicorp/terraform-provider-aws#14492)."""
    linux = release and re.fullmatch(r"1\.\d+\.\d+-\d{8}", release)
    if linux and not linux[0].startswith(f"{version}."):
        raise Refused(
            f"InvalidParameterException: Requested Nodegroup release version {release} is invalid"
        )


def _newest(world: Properties, group: Properties) -> str:
    return world["releases"][group["amiType"].partition("_")[0]]


def _order(version: str) -> list[int]:
    """Order of versions and releases, by the numbers before a build's hash."""
    numbers = re.match(r"[0-9.]+(-\d{8}$)?", version)
    return [int(number) for number in re.findall(r"\d+", numbers[0] if numbers else "")]


def _updated_version(world: Properties, group: Properties, sent: Properties) -> Properties:
    """Return what UpdateNodegroupVersion changes; rules: API reference, UpdateNodegroupVersion."""
    if not sent.keys() & {"launchTemplate", "version", "releaseVersion"}:
        return {}
    template = sent.get("launchTemplate", group["launchTemplate"])
    if template["id"] != group["launchTemplate"]["id"]:
        raise Refused("InvalidParameterException: You cannot specify a different launch template")
    # "If no version is specified, then the node group will be updated to match the cluster's
    # current Kubernetes version" (API reference, UpdateNodegroupVersionRequest).
    version = sent.get("version") or world["version"]
    # "By default, the latest available AMI version for the node group's Kubernetes version is used"
    release = sent.get("releaseVersion") or _newest(world, group)
    # "You cannot roll back a node group to an earlier Kubernetes version or AMI version."
    for key, wanted in (("version", version), ("releaseVersion", release)):
        if _order(wanted) < _order(group[key]):
            raise Refused(f"InvalidParameterException: {key} {wanted} is before {group[key]}")
    if _order(version) > _order(world["version"]):
        raise Refused(f"InvalidParameterException: the cluster has version {world['version']}")
    _acceptable_release(version, release)
    return {"version": version, "releaseVersion": release}


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
    after = {**group, **sent, **_updated_version(world, group, sent)}
    _acceptable(world, after)
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
    kept += ("amiType", "capacityType", "instanceTypes", "subnetIds", "labels", "version")
    return {
        **{key: group.get(key) for key in kept},
        "scalingConfigs": [group["scalingConfig"]],
        "launchTemplates": [group["launchTemplate"]],
    }


def new_association(world: Properties, association: Properties) -> None:
    """Refuse a second association of a service account."""
    # EKS user guide, "Learn how EKS Pod Identity grants pods access to AWS services": "Each
    # Kubernetes service account in a cluster can have one IAM role"; ResourceInUseException is one
    # of the errors of CreatePodIdentityAssociation.
    key = ("clusterName", "namespace", "serviceAccount")
    for other in world["resources"].get(ASSOCIATION, {}).values():
        if all(other[part] == association[part] for part in key):
            raise Refused("ResourceInUseException: Association already exists")


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
