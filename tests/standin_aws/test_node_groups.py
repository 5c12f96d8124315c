"""The life of node groups in tier prod: changes in place, and the replacement of a group.

The real CLI, engine and SDK, and a stand-in provider with EKS's documented rules. No proof about
AWS: that the real provider and EKS behave by those rules is not shown. No pod runs here.
"""

import json
import re
from typing import Any

import pytest
from pulumi import automation

from tests.standin_aws.bed import Bed
from tests.standin_aws.world import LAUNCH_TEMPLATE, NODE_GROUP

STATED: dict[str, Any] = {"min_size": 2, "max_size": 6, "labels": {"team": "vision"}}


THEIRS: dict[str, Any] = {
    "role_arn": "arn:aws:iam::123456789012:role/theirs",
    "launch_template": {"id": "lt-0a1b2c3d4e5f60718", "version": 3},
}
"""Role and launch template of another owner."""


def of_another_owner(bed: Bed) -> None:
    """Let the account have them."""
    trust = {"Statement": [{"Principal": {"Service": "ec2.amazonaws.com"}}]}
    role = {"arn": THEIRS["role_arn"], "assumeRolePolicy": json.dumps(trust)}
    with bed.world.change() as world:
        world["resources"]["aws:iam/role:Role"]["theirs"] = role
        world["resources"][LAUNCH_TEMPLATE][THEIRS["launch_template"]["id"]] = {"latestVersion": 3}


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Bed:
    bed = Bed.make(tmp_path_factory.mktemp("groups"), **STATED)
    bed.prod = True
    bed.up()
    bed.keep()
    return bed


@pytest.fixture
def bed(shared: Bed) -> Bed:
    """A protected group of two nodes."""
    shared.restore()
    shared.nodes, shared.beside = {**STATED}, []
    return shared


@pytest.mark.parametrize(
    ("stated", "gone"),
    [
        ({"labels": {}}, "label/team"),
        ({"taint": {"key": "example.com/gpu"}}, "taint/nvidia.com/gpu"),
        ({"vpc_cni_policy": False}, "AmazonEKS_CNI_Policy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_prods_protection_leaves_labels_taints_and_policies_changeable(bed: Bed, stated, gone):
    assert gone in str(bed.world.read()["resources"])
    before = bed.group()["nodeGroupName"]
    bed.nodes |= stated
    bed.preview()
    bed.up()
    assert gone not in str(bed.world.read()["resources"])
    assert bed.group()["nodeGroupName"] == before
    assert bed.world.read()["ended"] == {}


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("instanceTypes", "instance_types", ("g6.24xlarge",)),
        ("subnetIds", "subnet_ids", ("subnet-c",)),
    ],
)
def test_prod_refuses_to_replace_a_group_and_the_preview_says_outage_first(
    bed: Bed, key: str, field: str, value: object
):
    bed.nodes[field] = value
    with pytest.raises(automation.CommandError, match="unable to replace resource"):
        bed.preview()
    assert f"OUTAGE: gpuNodes.groups[0].{key}" in bed.output
    assert bed.output.index("OUTAGE: ") < bed.output.index("unable to replace resource")


def test_a_group_is_replaced_by_another_beside_it_without_an_ended_node(bed: Bed):
    old = bed.group()["nodeGroupName"]
    bed.world.scale(old, 5)
    bed.beside = [{"name": "larger", "instance_types": ("g6.24xlarge",), "max_size": 4}]
    bed.up()
    assert {name.rpartition("-nodes-")[0] for name in bed.world.groups} == {"gpu", "larger"}
    assert bed.world.groups[old]["scalingConfig"]["desiredSize"] == 5
    bed.nodes["retiring"] = True
    bed.up()
    retired = bed.world.groups[old]
    assert retired["scalingConfig"] == {"minSize": 0, "desiredSize": 5, "maxSize": 6}
    assert [taint["key"] for taint in retired["taints"]] == [
        "nvidia.com/gpu",
        "kubemind-inference/retiring",
    ]
    assert bed.world.read()["ended"] == {}
    calls = [op for op, typ, _ in bed.world.read()["calls"] if typ == NODE_GROUP]
    assert calls.count("create") == 2
    assert "delete" not in calls
    # The documented drain, and the autoscaler that takes the empty nodes away.
    bed.world.scale(old, 0)
    bed.nodes, bed.beside = bed.beside[0], []
    bed.up()
    assert bed.group()["nodeGroupName"].startswith("larger-nodes-")
    assert not [one for one in bed.world.of("aws:iam/role:Role") if one.startswith("gpu-role")]


def test_a_group_that_is_not_retiring_cannot_be_removed_from_prod(bed: Bed):
    bed.beside = [{"name": "larger"}]
    bed.up()
    bed.nodes, bed.beside = bed.beside[0], []
    with pytest.raises(automation.CommandError, match="cannot be deleted"):
        bed.up()
    assert len(bed.world.groups) == 2


def test_a_role_and_a_template_of_another_owner_are_an_outage_when_they_come_and_go(bed: Bed):
    of_another_owner(bed)
    # Without prod's protection, by which the engine refuses each of these.
    bed.prod = False
    bed.up()
    role = {"role_arn": THEIRS["role_arn"]}
    for stated, keys in (
        (THEIRS, ["roleArn", "launchTemplate.id"]),
        (role, ["launchTemplate.id"]),
        ({}, ["roleArn"]),
    ):
        old = bed.group()["nodeGroupName"]
        bed.world.scale(old, 5)
        bed.nodes = {**STATED, **stated}
        bed.preview()
        # The engine prints it as progress and again at the end.
        pattern = f"OUTAGE: (.*) replaces node group {old}. Its 5 nodes end"
        (said,) = set(re.findall(pattern, bed.output))
        assert re.findall(r"gpuNodes\.groups\[0\]\.(\S+)", said) == keys
        bed.up()
        assert bed.group()["nodeGroupName"] != old
        # The successor starts as many nodes as end.
        assert bed.group()["scalingConfig"]["desiredSize"] == 5
    bed.preview()
    assert "OUTAGE" not in bed.output
