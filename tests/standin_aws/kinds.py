"""The resource types of the stand-in: what is immutable, what is computed, what is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.standin_aws import eks
from tests.standin_aws.world import ASSOCIATION, LAUNCH_TEMPLATE, NODE_GROUP, Properties

_ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Kind:
    """Behaviour of one type."""

    computed: Callable[[Properties, Properties], Properties]
    """Takes (world, inputs) and returns what AWS adds at creation."""

    force_new: frozenset[str] = frozenset()
    """Properties that cannot be changed in place: `ForceNew` in terraform-provider-aws."""

    named_by: str = ""
    """Property that Pulumi names itself where the program does not (pulumi-aws, `AutoName`)."""

    kept: frozenset[str] = frozenset()
    """Properties that stay as they are where the program states none: `Optional` and `Computed`."""

    recomputed: frozenset[str] = frozenset()
    """Computed properties that a change makes unknown in a preview."""

    check: Callable[[Properties, Properties], None] = lambda _world, _inputs: None
    """Takes (world, inputs); raises `Refused` as the API refuses."""

    update: Callable[[Properties, Properties, Properties], Properties] = lambda _world, old, new: {
        **old,
        **new,
    }
    """Takes (world, state, inputs) and returns the new state."""


def _arn(service: str, kind: str, key: str) -> Callable[[Properties, Properties], Properties]:
    def computed(world: Properties, inputs: Properties) -> Properties:
        arn = f"arn:{world['partition']}:{service}::{_ACCOUNT}:{kind}/{inputs[key]}"
        return {"arn": arn, "id": inputs[key]}

    return computed


def _template(_world: Properties, inputs: Properties) -> Properties:
    return {"id": f"lt-{inputs['name']}", "latestVersion": 1}


def _new_version(_world: Properties, old: Properties, new: Properties) -> Properties:
    return {**old, **new, "latestVersion": old["latestVersion"] + 1}


def _plain(*keys: str) -> Callable[[Properties, Properties], Properties]:
    def computed(_world: Properties, inputs: Properties) -> Properties:
        return {"id": "/".join(str(inputs[key]) for key in keys)}

    return computed


def _tag(_world: Properties, inputs: Properties) -> Properties:
    return {"id": f"{inputs['autoscalingGroupName']},{inputs['tag']['key']}"}


def _association(world: Properties, _inputs: Properties) -> Properties:
    # Each creation has an ID of its own (API reference, PodIdentityAssociation).
    identifier = f"a-{len(world['calls'])}"
    return {"id": identifier, "associationId": identifier}


KINDS: dict[str, Kind] = {
    # internal/service/iam/role.go
    "aws:iam/role:Role": Kind(
        _arn("iam", "role", "name"), frozenset({"name", "path"}), named_by="name"
    ),
    # internal/service/iam/role_policy_attachment.go
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Kind(
        _plain("role", "policyArn"), frozenset({"role", "policyArn"}), check=eks.known_policy
    ),
    # internal/service/iam/role_policy.go
    "aws:iam/rolePolicy:RolePolicy": Kind(
        _plain("role", "name"), frozenset({"role", "name"}), named_by="name"
    ),
    # internal/service/ec2/ec2_launch_template.go
    LAUNCH_TEMPLATE: Kind(
        _template,
        frozenset({"name"}),
        named_by="name",
        recomputed=frozenset({"latestVersion"}),
        update=_new_version,
    ),
    # internal/service/eks/node_group.go
    NODE_GROUP: Kind(
        eks.new_group,
        frozenset(
            {
                "amiType",
                "capacityType",
                "clusterName",
                "diskSize",
                "instanceTypes",
                "launchTemplate.id",
                "nodeGroupName",
                "nodeRoleArn",
                "subnetIds",
            }
        ),
        named_by="nodeGroupName",
        kept=frozenset({"releaseVersion", "version"}),
        check=eks.acceptable_group,
        update=eks.changed_group,
    ),
    # internal/service/autoscaling/tag.go
    "aws:autoscaling/tag:Tag": Kind(_tag, frozenset({"autoscalingGroupName", "tag.key"})),
    # internal/service/eks/pod_identity_association.go
    ASSOCIATION: Kind(
        _association,
        frozenset({"clusterName", "namespace", "serviceAccount"}),
        check=eks.new_association,
    ),
}


def invoke(world: Properties, token: str, arguments: dict[str, Any]) -> Properties:
    """Answer a function.

    Raises:
        KeyError: The function is not known.
        eks.Refused: AWS would refuse.
    """
    functions: dict[str, Callable[[Properties, dict[str, Any]], Properties]] = {
        "aws:index/getPartition:getPartition": _partition,
        "aws:eks/getNodeGroups:getNodeGroups": eks.list_groups,
        "aws:eks/getNodeGroup:getNodeGroup": eks.describe_group,
    }
    return functions[token](world, arguments)


def _partition(world: Properties, _arguments: dict[str, Any]) -> Properties:
    suffix = {"aws-cn": "amazonaws.com.cn"}.get(world["partition"], "amazonaws.com")
    return {
        "partition": world["partition"],
        "dnsSuffix": suffix,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }
