"""The number of GPU nodes that the engine hands to an AWS provider, over the life of a stack.

The real CLI, engine and SDK, and a stand-in provider with EKS's documented rules. No proof about
AWS: that the real provider and EKS behave by those rules is not shown.
"""

import pytest
from pulumi import automation

from tests.standin_aws.bed import Bed
from tests.standin_aws.world import NODE_GROUP


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Bed:
    bed = Bed.make(tmp_path_factory.mktemp("aws"), min_size=2, max_size=6)
    bed.up()
    assert bed.sizes() == (2, 2, 6)
    bed.world.scale(bed.group()["nodeGroupName"], 6)
    bed.keep()
    return bed


@pytest.fixture
def bed(shared: Bed) -> Bed:
    """A group of 2 to 6 nodes that the autoscaler took from 2 to 6, unseen by the state."""
    shared.restore()
    shared.nodes = {"min_size": 2, "max_size": 6}
    return shared


def test_a_larger_maximum_leaves_the_running_nodes_alone(bed: Bed):
    bed.nodes["max_size"] = 8
    bed.up()
    assert "runs 6 nodes and keeps them" in bed.output
    assert bed.sizes() == (2, 6, 8)
    assert bed.world.read()["ended"] == {}


def test_a_maximum_below_the_running_nodes_ends_those_beyond_it_and_the_preview_counts_them(
    bed: Bed,
):
    bed.nodes["max_size"] = 4
    bed.preview()
    assert "gpuNodes.groups[0].maxSize 4 ends 2 of 6 running nodes" in bed.output
    assert bed.sizes() == (2, 6, 6)
    bed.up()
    assert bed.sizes() == (2, 4, 4)
    assert list(bed.world.read()["ended"].values()) == [2]


def test_a_minimum_of_as_many_as_run_is_accepted(bed: Bed):
    bed.nodes["min_size"] = 4
    bed.up()
    assert bed.sizes() == (4, 6, 6)
    assert bed.world.read()["ended"] == {}


def test_the_next_up_names_a_change_that_eks_refused_and_a_refresh_makes_it(bed: Bed):
    bed.nodes["max_size"] = 8
    with bed.world.change() as world:
        world["refuse_updates"] = "ResourceLimitExceededException: no"
    with pytest.raises(automation.CommandError, match="ResourceLimitExceeded"):
        bed.up()
    with bed.world.change() as world:
        world["refuse_updates"] = ""
    with pytest.raises(automation.CommandError, match="2 to 6 nodes on EKS, and not") as failed:
        bed.up()
    assert "pulumi up --refresh" in str(failed.value)
    assert "Traceback" not in str(failed.value)
    bed.up(refresh=True)
    assert bed.sizes() == (2, 6, 8)


def test_a_replacement_starts_with_as_many_nodes_as_run_and_is_then_the_group_that_counts(bed: Bed):
    before = bed.group()["nodeGroupName"]
    bed.nodes["instance_types"] = ("g5.12xlarge",)
    bed.up()
    after = bed.group()["nodeGroupName"]
    assert after != before
    assert bed.sizes() == (2, 6, 6)
    operations = [op for op, typ, _ in bed.world.read()["calls"] if typ == NODE_GROUP]
    assert operations == ["create", "create", "delete"]
    bed.world.scale(after, 3)
    bed.nodes["max_size"] = 9
    bed.up()
    assert bed.sizes() == (2, 3, 9)


def test_a_refresh_finds_nothing_to_change_where_only_the_autoscaler_moved(bed: Bed):
    calls = bed.world.read()["calls"]
    bed.up(refresh=True)
    assert bed.world.read()["calls"] == calls
    assert bed.sizes() == (2, 6, 6)


def test_what_is_made_in_china_is_of_its_partition_and_goes_without_a_rest(tmp_path):
    bed = Bed.make(tmp_path, min_size=0, max_size=2)
    with bed.world.change() as world:
        world["partition"] = "aws-cn"
    bed.up()
    made = bed.world.read()["resources"]
    assert "arn:aws:" not in str(made)
    assert "arn:aws-cn:s3:::models" in str(made["aws:iam/rolePolicy:RolePolicy"])
    bed.stack.destroy()
    assert not any(bed.world.read()["resources"].values())
