"""User data of a group's nodes, as nodeadm and Bottlerocket read it.

Not shown: the operating systems act on it. The keys are those of their documentation, which
`config/user_data.py` names.
"""

import base64
import email
import tomllib
from typing import Any

import pytest
import yaml

from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs
from config.checks import run
from config.schema.overrides import with_overrides
from config.sections.gpu_sharing import NotShared, TimeSlicing
from config.sections.node_groups import NodeGroup
from config.settings import Settings
from config.sizing.packing import free_disk_gib
from config.user_data import user_data
from tests.unit.check_cases import EKS, GROUP

SLICED = TimeSlicing(kind="timeSlicing", slices=4)
BOTTLEROCKET = "BOTTLEROCKET_x86_64_NVIDIA"


def parts(text: str) -> list[tuple[str, str]]:
    whole = email.message_from_string(text)
    assert whole.is_multipart()
    assert not whole.defects
    return [(part.get_content_type(), str(part.get_payload())) for part in whole.walk()][1:]


def settings_of(sharing: NotShared | TimeSlicing = SLICED, **parameters: Any) -> dict[str, Any]:
    nodes = NodeGroup(ami_type=BOTTLEROCKET, **parameters)
    return tomllib.loads(user_data(nodes, sharing))["settings"]


@pytest.mark.parametrize("ami_type", ["AL2023_x86_64_NVIDIA", BOTTLEROCKET])
def test_nodes_need_no_user_data_by_default(ami_type):
    assert user_data(NodeGroup(ami_type=ami_type), NotShared()) == ""


def test_nodeadm_is_told_of_local_disks_and_of_fast_pulls():
    text = user_data(NodeGroup(local_disks="raid0", fast_image_pull=True), NotShared())
    ((media_type, config),) = parts(text)
    assert media_type == "application/node.eks.aws"
    assert yaml.safe_load(config) == {
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {
            "instance": {"localStorage": {"strategy": "RAID0"}},
            "featureGates": {"FastImagePull": True},
        },
    }


def test_the_device_plugin_of_the_stack_needs_no_user_data():
    assert user_data(NodeGroup(), SLICED) == ""


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("#!/bin/bash\necho é\n", "text/x-shellscript"),
        ("kind: NodeConfig\nspec: {}\n", "application/node.eks.aws"),
    ],
)
def test_further_user_data_follows_as_a_part_of_its_own(text, media_type):
    nodes = NodeGroup(local_disks="raid0", user_data=text)
    assert parts(user_data(nodes, NotShared()))[1] == (media_type, text)


def test_bottlerocket_binds_the_folders_of_images_and_pods_to_its_local_disks():
    commands = settings_of(local_disks="raid0")["bootstrap-commands"]["000-local-disks"]
    assert commands["essential"] is True
    assert commands["mode"] == "always"
    init, bind = commands["commands"]
    assert init == ["apiclient", "ephemeral-storage", "init"]
    folders = ["/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"]
    assert bind == ["apiclient", "ephemeral-storage", "bind", "--dirs", *folders]


def test_bottlerocket_keeps_the_images_of_fast_pulls_on_its_local_disks_too():
    found = settings_of(local_disks="raid0", fast_image_pull=True)
    assert found["container-runtime"] == {"snapshotter": "soci"}
    assert (
        found["container-runtime-plugins"]["soci-snapshotter"]["pull-mode"]
        == "parallel-pull-unpack"
    )
    bind = found["bootstrap-commands"]["000-local-disks"]["commands"][1]
    assert bind[-1] == "/var/lib/soci-snapshotter"


def test_bottlerocket_slices_gpus_under_the_name_that_replicas_request():
    plugin = settings_of()["kubelet-device-plugins"]["nvidia"]
    assert plugin == {
        "device-sharing-strategy": "time-slicing",
        "time-slicing": {
            "replicas": 4,
            "rename-by-default": False,
            "fail-requests-greater-than-one": True,
        },
    }


def test_further_settings_join_those_of_the_stack():
    found = settings_of(user_data='[settings.kernel.sysctl]\n"vm.max_map_count" = "262144"\n')
    assert found["kernel"]["sysctl"] == {"vm.max_map_count": "262144"}
    assert found["kubelet-device-plugins"]


def test_shares_of_bottlerocket_count_and_no_check_refuses_them():
    sliced = {f"{GROUP}.amiType": BOTTLEROCKET, "gpuSharing": {"kind": "timeSlicing", "slices": 2}}
    stated = with_overrides(with_overrides(Settings(), EKS), sliced)
    assert [problem for problem in run(stated) if problem.severity == "refuse"] == []
    assert stated.gpus_of(stated.gpu_nodes.pool) == 8


def test_local_disks_count_in_place_of_the_volume():
    stated = with_overrides(with_overrides(Settings(), EKS), {f"{GROUP}.diskGib": 20})
    local = with_overrides(stated, {f"{GROUP}.localDisks": "raid0"})
    # 3,760 GB by EC2's count are 3,501 GiB, less a tenth for eviction, file system and reserve.
    assert local.gpu_nodes.pool.allocatable_disk_gib == pytest.approx(0.89 * 3501.7 - 1, abs=0.1)
    assert (
        free_disk_gib(stated, stated.gpu_nodes.pool)
        < 1
        < free_disk_gib(local, local.gpu_nodes.pool)
    )


def test_the_launch_template_and_the_autoscaler_follow(declare):
    args = GpuNodeGroupArgs(
        config=NodeGroup(ami_type=BOTTLEROCKET, local_disks="raid0", instance_types=("g6.xlarge",)),
        gpus_per_node=4,
        sharing=SLICED,
        cluster_name="inference",
        subnet_ids=["subnet-a"],
    )
    seen = declare(lambda: GpuNodeGroup("gpu", args))
    sent = base64.b64decode(seen.one("aws:ec2/launchTemplate:LaunchTemplate")["userData"]).decode()
    assert sent == user_data(args.config, SLICED)
    tags = {
        one.inputs["tag"]["key"]: one.inputs["tag"]["value"]
        for one in seen.all("aws:autoscaling/tag:Tag")
    }
    # 250 GB.
    disk = tags["k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"]
    assert disk == f"{int((250e9 / 2**30 * 0.89 - 1) * 1024)}Mi"
