"""Options of a GPU node group: versions, disks, tags, permissions and reserved capacity.

Not shown: AWS accepts them, nodes join.
"""

import pytest

from components.gpus.node_count import GroupResources, RunningGroup, earlier_version, replaced_nodes
from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs
from config.base import PROJECT
from config.sections.node_groups import NodeGroup

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


@pytest.fixture
def declared(declare):
    def build(lookups=None, **parameters):
        args = GpuNodeGroupArgs(
            config=NodeGroup(**parameters),
            gpus_per_node=4,
            cluster_name="inference",
            subnet_ids=["subnet-a", "subnet-b"],
        )
        return declare(lambda: GpuNodeGroup("gpu", args), lookups=lookups)

    return build


def test_a_group_has_the_subnets_versions_and_strategy_that_it_states(declared):
    group = declared(
        subnet_ids=("subnet-c",),
        kubernetes_version="1.34",
        release_version="1.34.2-20260709",
        update_strategy="MINIMAL",
    ).one(NODE_GROUP)
    assert group["subnetIds"] == ["subnet-c"]
    assert (group["version"], group["releaseVersion"]) == ("1.34", "1.34.2-20260709")
    assert group["updateConfig"]["updateStrategy"] == "MINIMAL"
    unset = declared().one(NODE_GROUP)
    assert unset.get("version") is None
    assert unset.get("releaseVersion") is None


def test_the_stated_key_encrypts_every_disk_and_the_second_one_is_fast(declared):
    key = "arn:aws:kms:eu-central-1:123456789012:key/1a2b"
    template = declared(
        ami_type="BOTTLEROCKET_x86_64_NVIDIA",
        kms_key_arn=key,
        disk_throughput_mibps=1000,
        disk_iops=4000,
    ).one(TEMPLATE)
    disks = {disk["deviceName"]: disk["ebs"] for disk in template["blockDeviceMappings"]}
    assert {ebs["kmsKeyId"] for ebs in disks.values()} == {key}
    assert (disks["/dev/xvdb"]["throughput"], disks["/dev/xvdb"]["iops"]) == (1000, 4000)
    assert "throughput" not in disks["/dev/xvda"]


def test_the_stated_tags_are_on_everything_that_has_tags(declared):
    seen = declared(tags={"cost-center": "42"})
    stated = {"cost-center": "42", "project": PROJECT, "stack": "test"}
    template = seen.one(TEMPLATE)
    kinds = {one["resourceType"]: one["tags"] for one in template["tagSpecifications"]}
    assert kinds == dict.fromkeys(("instance", "volume", "network-interface"), stated)
    for typ in (TEMPLATE, NODE_GROUP, "aws:iam/role:Role"):
        assert seen.one(typ)["tags"] == stated


def test_a_role_has_its_boundary_and_session_manager_only_where_stated(declared):
    boundary = "arn:aws:iam::123456789012:policy/nodes"
    seen = declared(permissions_boundary_arn=boundary, ssm=True)
    assert seen.one("aws:iam/role:Role")["permissionsBoundary"] == boundary
    attachment = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    assert "gpu-AmazonSSMManagedInstanceCore" in [one.name for one in seen.all(attachment)]
    assert "gpu-AmazonSSMManagedInstanceCore" not in [
        one.name for one in declared().all(attachment)
    ]


def test_nodes_run_in_the_stated_reservation_and_nowhere_else(declared):
    reserved = declared(capacity_reservation_id="cr-02168da1478b509e0").one(TEMPLATE)
    assert reserved["capacityReservationSpecification"] == {
        "capacityReservationPreference": "capacity-reservations-only",
        "capacityReservationTarget": {"capacityReservationId": "cr-02168da1478b509e0"},
    }
    assert "instanceMarketOptions" not in reserved


def test_a_capacity_block_is_bought_as_such_and_its_type_is_in_the_template(declared):
    seen = declared(
        capacity_type="CAPACITY_BLOCK",
        capacity_reservation_id="cr-02168da1478b509e0",
        instance_types=("p5.48xlarge",),
    )
    template, group = seen.one(TEMPLATE), seen.one(NODE_GROUP)
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert template["instanceType"] == "p5.48xlarge"
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert group.get("instanceTypes") is None


ROLE = "arn:aws:iam::123456789012:role/platform/nodes"
RUNS = "lt-00000000000000000"
OWN = {"id": "lt-0a1b2c3d4e5f60718", "version": 3}


def test_a_launch_template_of_another_owner_takes_the_place_of_the_stacks(declared):
    seen = declared(launch_template=OWN)
    assert seen.all(TEMPLATE) == []
    assert seen.one(NODE_GROUP)["launchTemplate"] == {"id": OWN["id"], "version": "3"}


def test_a_role_of_another_owner_takes_the_place_of_the_stacks(declared):
    seen = declared(role_arn=ROLE)
    assert [one.typ for one in seen.resources if one.typ.startswith("aws:iam/")] == []
    assert seen.one(NODE_GROUP)["nodeRoleArn"] == ROLE


GROUP = {
    "nodeRoleArn": ROLE,
    "status": "ACTIVE",
    "scalingConfigs": [{"minSize": 1, "maxSize": 6, "desiredSize": 5}],
    "tags": {"project": PROJECT, "stack": "test"},
    "labels": {"kubemind-inference/node-group": "gpu"},
    "launchTemplates": [{"id": "lt-00000000000000000", "name": "old", "version": "1"}],
}


def looked_up(**changed):
    return {
        "aws:eks/getNodeGroups:getNodeGroups": {"names": ["gpu-nodes-1a2b3c4"]},
        "aws:eks/getNodeGroup:getNodeGroup": {**GROUP, **changed},
    }


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({}, 5),
        ({"labels": {"kubemind-inference/node-group": "other"}}, 1),
        ({"tags": {"project": PROJECT, "stack": "other"}}, 1),
        ({"status": "DELETING"}, 1),
        # The group had a role of its own before.
        ({"nodeRoleArn": "arn:aws:iam::123456789012:role/gpu-role-1a2b3c4"}, 5),
    ],
)
def test_groups_that_share_a_role_are_told_apart(declared, changed, sent):
    group = declared(lookups=looked_up(**changed), role_arn=ROLE).one(NODE_GROUP)
    assert group["scalingConfig"]["desiredSize"] == sent


@pytest.mark.parametrize(
    ("parameters", "role", "template", "says"),
    [
        ({"role_arn": ROLE}, ROLE, RUNS, ""),
        ({"role_arn": f"{ROLE}-2"}, f"{ROLE}-2", RUNS, f"p.roleArn {ROLE} -> {ROLE}-2"),
        ({"launch_template": OWN}, ROLE, OWN["id"], f"p.launchTemplate.id {RUNS} -> lt-0a1b2c3d"),
        # The stack's own, which this run creates or has created.
        ({}, None, RUNS, f"p.roleArn {ROLE} -> the stack's own replaces"),
        ({}, f"{ROLE}-own", RUNS, f"p.roleArn {ROLE} -> the stack's own replaces"),
        ({}, ROLE, None, f"p.launchTemplate.id {RUNS} -> the stack's own replaces"),
        ({}, ROLE, RUNS, ""),
    ],
)
def test_another_role_or_template_is_an_outage(parameters, role, template, says):
    fixed = {"roleArn": ROLE, "launchTemplate.id": RUNS}
    running = RunningGroup("gpu-nodes-1a2b3c4", "ACTIVE", 1, 6, 5, fixed)
    resources = GroupResources(subnets=(), role_arn=role, template_id=template)
    outage = replaced_nodes(NodeGroup(**parameters), running, "p", resources)
    assert says in outage
    assert bool(outage) == bool(says)


@pytest.mark.parametrize(
    ("stated", "runs", "refused"),
    [("1.34", "1.35", True), ("1.9", "1.34", True), ("1.35", "1.34", False), (None, "1.34", False)],
)
def test_a_preview_says_that_eks_takes_no_group_back_to_an_earlier_version(stated, runs, refused):
    nodes = NodeGroup().model_copy(update={"kubernetes_version": stated})
    said = earlier_version(
        nodes, RunningGroup("gpu-nodes-1", "ACTIVE", 2, 7, 2, version=runs), "gpuNodes.groups[0]"
    )
    assert bool(said) == refused
    assert not refused or f"runs {runs}, and EKS refuses an earlier version" in said
