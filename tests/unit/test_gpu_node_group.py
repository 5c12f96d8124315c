"""Declared objects of the GPU node group; not shown: AWS accepts them, nodes join."""

import json
from dataclasses import replace

import pulumi
import pytest

from components.gpus.node_count import (
    GroupResources,
    RunningGroup,
    desired_size,
    ended_nodes,
    kept_nodes,
    replaced_nodes,
)
from components.gpus.node_group import EKS_TAINT_EFFECTS, GpuNodeGroup, GpuNodeGroupArgs
from config.sections.node_groups import NodeGroup

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


@pytest.fixture
def declared(declare):
    def build(opts=None, gpus_per_node=4, lookups=None, preview=False, **parameters):
        args = GpuNodeGroupArgs(
            config=NodeGroup(**parameters),
            gpus_per_node=gpus_per_node,
            cluster_name="inference",
            subnet_ids=["subnet-a", "subnet-b"],
        )
        return declare(lambda: GpuNodeGroup("gpu", args, opts), lookups=lookups, preview=preview)

    return build


def test_only_gpu_pods_may_land_on_the_nodes(declared):
    group = declared().one(NODE_GROUP)
    assert group["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]
    assert group["labels"] == {
        "k8s.amazonaws.com/accelerator": "nvidia",
        "nvidia.com/gpu.present": "true",
        "kubemind-inference/node-group": "gpu",
    }


@pytest.mark.parametrize(("kubernetes", "eks"), EKS_TAINT_EFFECTS.items())
def test_a_taint_is_spelt_as_eks_spells_it(declared, kubernetes, eks):
    group = declared(taint={"effect": kubernetes}).one(NODE_GROUP)
    assert group["taints"][0]["effect"] == eks


def running(desired: int, status: str = "ACTIVE") -> RunningGroup:
    return RunningGroup("gpu-nodes-1a2b3c4", status, 2, 7, desired)


@pytest.mark.parametrize(
    ("runs", "sent"), [(None, 2), (0, 2), (2, 2), (5, 5), (7, 7), (9, 7)], ids=str
)
def test_eks_is_sent_the_running_number_within_the_bounds(runs, sent):
    nodes = NodeGroup(min_size=2, max_size=7)
    assert desired_size(nodes, None if runs is None else running(runs)) == sent


@pytest.mark.parametrize(
    ("runs", "ends", "kept"),
    [
        (9, "gpuNodes.groups[0].maxSize 7 ends 2 of 9 running nodes", ""),
        (7, "", "runs 7 nodes and keeps them"),
        (1, "", "runs 1 nodes; gpuNodes.groups[0].minSize 2 starts 1 more"),
    ],
)
def test_the_outlook_counts_nodes(runs, ends, kept):
    nodes = NodeGroup(min_size=2, max_size=7)
    said = ended_nodes(nodes, running(runs), "gpuNodes.groups[0]")
    assert said.startswith(ends)
    assert bool(said) == bool(ends)
    assert kept in kept_nodes(nodes, running(runs), "gpuNodes.groups[0]")


def test_the_number_is_that_of_the_group_whose_nodes_have_the_role(declared):
    described = {
        "nodeRoleArn": "arn:aws:iam::123456789012:role/mock",
        "status": "ACTIVE",
        "scalingConfigs": [{"minSize": 2, "maxSize": 7, "desiredSize": 5}],
    }
    of_others = {**described, "nodeRoleArn": "arn:aws:iam::123456789012:role/other"}
    for group, sent in ((described, 5), (of_others, 2)):
        lookups = {
            "aws:eks/getNodeGroups:getNodeGroups": {"names": ["gpu-nodes-1a2b3c4"]},
            "aws:eks/getNodeGroup:getNodeGroup": group,
        }
        seen = declared(min_size=2, max_size=7, lookups=lookups)
        assert seen.one(NODE_GROUP)["scalingConfig"]["desiredSize"] == sent


@pytest.mark.parametrize(
    ("partition", "suffix"), [("aws-us-gov", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn")]
)
def test_role_and_policies_are_of_the_partition(declared, partition, suffix):
    token = "aws:index/getPartition:getPartition"
    seen = declared(lookups={token: {"partition": partition, "dnsSuffix": suffix}})
    trust = json.loads(seen.one("aws:iam/role:Role")["assumeRolePolicy"])
    assert trust["Statement"][0]["Principal"] == {"Service": f"ec2.{suffix}"}
    for policy in seen.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment"):
        assert policy.inputs["policyArn"].startswith(f"arn:{partition}:iam::aws:policy/")


def test_the_autoscaler_owns_the_number_of_nodes_between_the_bounds(declared):
    group = declared(min_size=2, max_size=7).resource(NODE_GROUP)
    assert group.inputs["scalingConfig"] == {"minSize": 2, "maxSize": 7, "desiredSize": 2}
    assert group.ignore_changes == ()


def test_the_nodes_are_those_of_the_parameters(declared):
    group = declared(
        ami_type="BOTTLEROCKET_x86_64_NVIDIA",
        instance_types=("g6.xlarge", "g5.xlarge"),
        capacity_type="SPOT",
        max_unavailable=3,
        labels={"team": "vision"},
    ).one(NODE_GROUP)
    assert group["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"
    assert group["instanceTypes"] == ["g6.xlarge", "g5.xlarge"]
    assert group["capacityType"] == "SPOT"
    assert group["updateConfig"] == {"maxUnavailable": 3, "updateStrategy": "DEFAULT"}
    assert group["labels"]["team"] == "vision"
    assert group["clusterName"] == "inference"
    assert group["subnetIds"] == ["subnet-a", "subnet-b"]
    assert group["nodeRepairConfig"] == {"enabled": True}


def test_the_nodes_identity_is_out_of_reach_of_pods(declared):
    assert declared().one(TEMPLATE)["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }


def test_the_disk_is_encrypted_and_of_the_stated_size(declared):
    (disk,) = declared(disk_gib=300).one(TEMPLATE)["blockDeviceMappings"]
    assert disk == {
        "deviceName": "/dev/xvda",
        "ebs": {
            "volumeSize": 300,
            "volumeType": "gp3",
            "throughput": 600,
            "iops": 3000,
            "encrypted": "true",
            "deleteOnTermination": "true",
        },
    }


def test_on_bottlerocket_the_stated_size_is_that_of_the_disk_that_holds_images(declared):
    template = declared(ami_type="BOTTLEROCKET_x86_64_NVIDIA", disk_gib=300).one(TEMPLATE)
    disks = {disk["deviceName"]: disk["ebs"] for disk in template["blockDeviceMappings"]}
    assert "volumeSize" not in disks["/dev/xvda"]
    assert disks["/dev/xvdb"]["volumeSize"] == 300
    assert {ebs["encrypted"] for ebs in disks.values()} == {"true"}


def test_the_template_is_named_by_version_and_not_by_latest(declared):
    template = declared().one(NODE_GROUP)["launchTemplate"]
    assert template == {"id": "gpu-launch-template-id", "version": "1"}


def test_a_node_may_join_pull_images_and_do_nothing_else(declared):
    seen = declared(vpc_cni_policy=False)
    trust = json.loads(seen.one("aws:iam/role:Role")["assumeRolePolicy"])
    assert trust["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    attached = seen.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert [policy.inputs["policyArn"].rpartition("/")[2] for policy in attached] == [
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSWorkerNodePolicy",
    ]


def test_the_vpc_cni_has_its_permissions_from_the_node_by_default(declared):
    attached = declared().all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert "gpu-AmazonEKS_CNI_Policy" in [policy.name for policy in attached]


def test_nodes_start_after_their_role_may_do_what_it_must(declared):
    seen = declared()
    attachments = {
        policy.name for policy in seen.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    assert attachments < seen.resource(NODE_GROUP).depends_on


def test_an_empty_group_tells_the_cluster_autoscaler_what_its_nodes_would_be(declared):
    tags = declared(gpus_per_node=8, labels={"team": "vision"}).all("aws:autoscaling/tag:Tag")
    prefix = "k8s.io/cluster-autoscaler/node-template"
    assert {tag.inputs["tag"]["key"]: tag.inputs["tag"]["value"] for tag in tags} == {
        f"{prefix}/label/k8s.amazonaws.com/accelerator": "nvidia",
        f"{prefix}/label/nvidia.com/gpu.present": "true",
        f"{prefix}/label/kubemind-inference/node-group": "gpu",
        f"{prefix}/label/team": "vision",
        f"{prefix}/taint/nvidia.com/gpu": "true:NoSchedule",
        f"{prefix}/resources/nvidia.com/gpu": "8",
        # 200 GiB less the system's share: a replica's request finds room on a node to come.
        f"{prefix}/resources/ephemeral-storage": f"{177 * 1024}Mi",
    }
    assert {tag.inputs["autoscalingGroupName"] for tag in tags} == {"eks-gpu-asg"}
    assert not any(tag.inputs["tag"]["propagateAtLaunch"] for tag in tags)


def test_protection_is_for_the_group_its_template_and_its_role(declared):
    protected = declared(pulumi.ResourceOptions(protect=True)).resources
    assert {r.typ.rpartition(":")[2] for r in protected if r.protect} == {
        "GpuNodeGroup",
        "LaunchTemplate",
        "NodeGroup",
        "Role",
    }
    assert not any(r.protect for r in declared().resources)


def test_a_retiring_group_takes_no_new_pods_and_may_become_empty(declared):
    seen = declared(min_size=2, max_size=7, retiring=True)
    group = seen.one(NODE_GROUP)
    assert group["taints"][1] == {
        "key": "kubemind-inference/retiring",
        "value": "true",
        "effect": "NO_SCHEDULE",
    }
    assert (group["scalingConfig"]["minSize"], group["scalingConfig"]["maxSize"]) == (0, 7)
    tags = {
        tag.inputs["tag"]["key"]: tag.inputs["tag"]["value"]
        for tag in seen.all("autoscaling/tag:Tag")
    }
    key = "k8s.io/cluster-autoscaler/node-template/taint/kubemind-inference/retiring"
    assert tags[key] == "true:NoSchedule"


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (
            {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA"},
            "amiType AL2023_x86_64_NVIDIA -> BOTTLEROCKET",
        ),
        ({"capacity_type": "SPOT"}, "groups[0].capacityType ON_DEMAND -> SPOT replaces node group"),
        ({"instance_types": ("g6.xlarge",)}, '["g6.12xlarge"] -> ["g6.xlarge"]'),
        (
            {"subnet_ids": ("subnet-c",)},
            'groups[0].subnetIds ["subnet-a", "subnet-b"] -> ["subnet-c"]',
        ),
        ({"max_size": 9, "labels": {"team": "vision"}}, ""),
    ],
)
def test_a_change_that_eks_cannot_make_in_place_is_an_outage(stated, says):
    fixed = {
        "amiType": "AL2023_x86_64_NVIDIA",
        "capacityType": "ON_DEMAND",
        "instanceTypes": ["g6.12xlarge"],
        "subnetIds": ["subnet-a", "subnet-b"],
    }
    nodes = NodeGroup(**stated)
    subnets = nodes.subnet_ids or ["subnet-b", "subnet-a"]
    resources = GroupResources(subnets=subnets, role_arn=None, template_id=None)
    runs = RunningGroup("gpu-nodes-1a2b3c4", "ACTIVE", 2, 7, 5, fixed)
    said = replaced_nodes(nodes, runs, "gpuNodes.groups[0]", resources)
    assert says in said
    assert said.startswith("OUTAGE: ") == bool(says)
    assert not replaced_nodes(nodes, replace(runs, desired_size=0), "", resources)


def test_other_subnets_of_the_platform_are_an_outage():
    runs = RunningGroup("gpu-nodes-1a2b3c4", "ACTIVE", 2, 7, 5, {"subnetIds": ["subnet-a"]})
    resources = GroupResources(subnets=["subnet-c"], role_arn=None, template_id=None)
    said = replaced_nodes(NodeGroup(), runs, "gpuNodes.groups[0]", resources)
    assert said.startswith("OUTAGE: the platform's subnetIds")


def test_identities_are_frozen(declared):
    """A changed line replaces live GPU nodes: add an alias in place of editing it."""
    parent = "kubemind:index:GpuNodeGroup"
    attachment = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    children = [
        "aws:iam/role:Role::gpu-role",
        f"{attachment}::gpu-AmazonEC2ContainerRegistryPullOnly",
        f"{attachment}::gpu-AmazonEKSWorkerNodePolicy",
        f"{attachment}::gpu-AmazonEKS_CNI_Policy",
        f"{TEMPLATE}::gpu-launch-template",
        f"{NODE_GROUP}::gpu-nodes",
        "aws:autoscaling/tag:Tag::gpu-label-k8s.amazonaws.com-accelerator",
        "aws:autoscaling/tag:Tag::gpu-label-kubemind-inference-node-group",
        "aws:autoscaling/tag:Tag::gpu-label-nvidia.com-gpu.present",
        "aws:autoscaling/tag:Tag::gpu-resources-ephemeral-storage",
        "aws:autoscaling/tag:Tag::gpu-resources-nvidia.com-gpu",
        "aws:autoscaling/tag:Tag::gpu-taint-nvidia.com-gpu",
    ]
    assert declared().identities == sorted(
        [f"{parent}::gpu", *(f"{parent}${child}" for child in children)]
    )
