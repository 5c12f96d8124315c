"""The checks' figures are those of EKS's own service model, and the stand-in has its rules.

That EKS enforces them, and what else it enforces, is not shown.
"""

import json
import typing
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from config.checks.eks import MAX_INSTANCE_TYPES, MAX_KEY
from config.sections.node_groups import NodeGroup
from config.sizing.instances import INSTANCE_TYPES, architecture_of, gpu_of, has_nvidia_gpu
from tests.extremes import NUMBERS
from tests.standin_aws.eks import (
    Refused,
    acceptable_group,
    changed_group,
    new_association,
    new_group,
)
from tests.standin_aws.world import ASSOCIATION, LAUNCH_TEMPLATE, NODE_GROUP, World


@pytest.fixture(scope="module")
def shapes() -> dict[str, Any]:
    return Loader().load_service_model("eks", "service-2")["shapes"]


def test_keys_and_values_of_labels_and_taints_are_as_long_as_eks_takes(shapes):
    assert shapes["labelKey"]["max"] == shapes["taintKey"]["max"] == MAX_KEY
    # Kubernetes' own limit, which the parameters' type has; EKS takes no empty label.
    assert shapes["labelValue"]["max"] == shapes["taintValue"]["max"] == 63
    assert (shapes["labelValue"]["min"], shapes["taintValue"]["min"]) == (1, 0)


def test_ami_and_capacity_types_are_those_of_eks(shapes):
    for field, shape in (("ami_type", "AMITypes"), ("capacity_type", "CapacityTypes")):
        stated = typing.get_args(NodeGroup.model_fields[field].annotation)
        assert set(stated) <= set(shapes[shape]["enum"])


def test_counts_are_those_of_the_documentation_in_the_model(shapes):
    unavailable = shapes["NodegroupUpdateConfig"]["members"]["maxUnavailable"]["documentation"]
    (number,) = [n for n in NUMBERS if n.path == "gpuNodes.groups[0].maxUnavailable"]
    assert f"The maximum number is {number.high}." in unavailable
    types = shapes["CreateNodegroupRequest"]["members"]["instanceTypes"]["documentation"]
    assert f"0-{MAX_INSTANCE_TYPES} instance types" in types


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_known_instance_type_has_a_known_nvidia_gpu(name: str):
    assert has_nvidia_gpu(name)
    assert gpu_of(name) is not None


@pytest.mark.parametrize(
    ("name", "architecture", "gpu"),
    [
        ("g4dn.xlarge", "amd64", True),
        ("g4ad.xlarge", "amd64", False),
        ("g5g.xlarge", "arm64", True),
        ("gr6.4xlarge", "amd64", True),
        ("p5en.48xlarge", "amd64", True),
        ("p6-b200.48xlarge", "amd64", True),
        ("p6e-gb200.36xlarge", "arm64", True),
        ("m7g.large", "arm64", False),
        ("m7i-flex.large", "amd64", False),
        ("c6gn.large", "arm64", False),
        ("a1.large", "arm64", False),
        ("t4g.large", "arm64", False),
        ("inf2.xlarge", "amd64", False),
    ],
)
def test_a_name_tells_processor_and_gpu(name: str, architecture: str, gpu: bool):
    assert architecture_of(name) == architecture
    assert has_nvidia_gpu(name) == gpu


ROLE = "arn:aws:iam::123456789012:role/nodes"
TRUST = json.dumps({"Statement": [{"Principal": {"Service": "ec2.amazonaws.com"}}]})
RELEASE = "1.34.2-20260601"
BLOCK = {
    "instanceType": "p5.48xlarge",
    "instanceMarketOptions": {"marketType": "capacity-block"},
    "capacityReservationSpecification": {
        "capacityReservationTarget": {"capacityReservationId": "cr-0123456789abcdef0"}
    },
}


def world(template: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """An account with a role and a launch template of two versions."""
    role = {"arn": ROLE, "assumeRolePolicy": TRUST}
    resources = {
        "aws:iam/role:Role": {"nodes": role},
        LAUNCH_TEMPLATE: {"lt-1": {"latestVersion": 2, **template}},
    }
    return {**World(tmp_path / "none").read(), "resources": resources}


def group(**stated: Any) -> dict[str, Any]:
    """Inputs of a group that EKS accepts, with others in their place."""
    accepted = {
        "amiType": "AL2023_x86_64_NVIDIA",
        "capacityType": "ON_DEMAND",
        "clusterName": "inference",
        "instanceTypes": ["g6.12xlarge"],
        "labels": {"team": "vision"},
        "launchTemplate": {"id": "lt-1", "version": "1"},
        "nodeGroupName": "gpu-nodes-1a2b3c4",
        "nodeRoleArn": ROLE,
        "scalingConfig": {"minSize": 1, "desiredSize": 1, "maxSize": 2},
        "subnetIds": ["subnet-a"],
        "tags": {"project": "kubemind-inference"},
        "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
        "updateConfig": {"maxUnavailable": 1, "updateStrategy": "MINIMAL"},
    }
    return {key: value for key, value in {**accepted, **stated}.items() if value is not None}


def test_the_stand_in_accepts_what_eks_does(tmp_path):
    acceptable_group(world({}, tmp_path), group(releaseVersion=RELEASE, version="1.34"))
    block = {"capacityType": "CAPACITY_BLOCK", "instanceTypes": None}
    acceptable_group(world(BLOCK, tmp_path), group(**block))


@pytest.mark.parametrize(
    ("stated", "template", "says"),
    [
        ({"scalingConfig": {"minSize": 3, "desiredSize": 1, "maxSize": 2}}, {}, "min <= desired"),
        ({"labels": {"kubernetes.io/team": "a"}}, {}, "reserved prefixes"),
        ({"labels": {"a" * 64: "a"}}, {}, "1 to 63"),
        ({"labels": {"a": ""}}, {}, "1 to 63"),
        ({"taints": [{"key": "a" * 64, "effect": "NO_SCHEDULE"}]}, {}, "at most 63"),
        ({"taints": [{"key": "a", "effect": "NoSchedule"}]}, {}, "none of TaintEffect"),
        ({"taints": [{"key": f"a{n}", "effect": "NO_SCHEDULE"} for n in range(51)]}, {}, "50"),
        ({"updateConfig": {"maxUnavailable": 101}}, {}, "1 to 100"),
        ({"updateConfig": {"maxUnavailable": 1, "updateStrategy": "FAST"}}, {}, "Strategies"),
        ({"amiType": "AL2023_x86_64"}, {}, "none of AMITypes"),
        ({"capacityType": "SPOTTED"}, {}, "none of CapacityTypes"),
        ({"nodeGroupName": "a" * 64}, {}, "nodegroupName"),
        ({"subnetIds": []}, {}, "Subnet list"),
        ({"tags": {"aws:a": "b"}}, {}, "tag aws:a"),
        ({"tags": {f"a{n}": "" for n in range(51)}}, {}, "50 tags"),
        ({"instanceTypes": ["g6.12xlarge"] * 21}, {}, "20 instance types"),
        ({"launchTemplate": {"id": "lt-2", "version": "1"}}, {}, "does not exist"),
        ({"launchTemplate": {"id": "lt-1", "version": "3"}}, {}, "does not exist"),
        ({}, {"instanceType": "g6.12xlarge"}, "in the group and its template"),
        ({"diskSize": 100}, {}, "diskSize with a launch template"),
        ({}, {"iamInstanceProfile": {"name": "a"}}, "iamInstanceProfile with"),
        ({}, {"instanceMarketOptions": {"marketType": "spot"}}, "RequestSpotInstances"),
        ({"capacityType": "CAPACITY_BLOCK"}, {}, "capacity block"),
        ({"instanceTypes": None}, BLOCK, "capacity block"),
        ({"nodeRoleArn": "arn:aws:iam::123456789012:role/other"}, {}, "service principals"),
        ({"version": "1.33"}, {}, "the cluster has version 1.34"),
        ({"releaseVersion": "1.33.9-20260601"}, {}, "release version 1.33.9-20260601 is invalid"),
    ],
)
def test_the_stand_in_refuses_what_eks_does(tmp_path, stated, template, says):
    with pytest.raises(Refused, match=says):
        acceptable_group(world(template, tmp_path), group(**stated))


def updated(tmp_path: Path, before: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Change a group that runs."""
    account = world({}, tmp_path)
    inputs = group(**before)
    runs = {**inputs, **new_group(account, inputs)}
    account["resources"][NODE_GROUP] = {runs["id"]: runs}
    return changed_group(account, runs, {**inputs, **changed})


def test_another_template_version_takes_the_newest_release_unless_one_is_sent_with_it(tmp_path):
    template = {"launchTemplate": {"id": "lt-1", "version": "2"}}
    stated = {"releaseVersion": RELEASE}
    newest = updated(tmp_path, stated, **template)["releaseVersion"]
    assert newest == World(tmp_path / "none").read()["releases"]["AL2023"] > RELEASE
    sent = {**template, "releaseVersion": "1.34.2-20260610"}
    assert updated(tmp_path, stated, **sent)["releaseVersion"] == "1.34.2-20260610"
    labelled = updated(tmp_path, stated, labels={"team": "audio"})
    assert labelled["releaseVersion"] == RELEASE


@pytest.mark.parametrize(
    ("before", "changed", "says"),
    [
        ({"releaseVersion": RELEASE}, {"releaseVersion": "1.34.1-20260709"}, "is before"),
        ({"releaseVersion": RELEASE}, {"releaseVersion": "1.34.2-20260531"}, "is before"),
        ({}, {"version": "1.33"}, "is before 1.34"),
        ({}, {"version": "1.35", "releaseVersion": "1.35.0-20260709"}, "the cluster has version"),
        ({}, {"launchTemplate": {"id": "lt-2", "version": "1"}}, "a different launch template"),
    ],
)
def test_the_stand_in_refuses_updates_as_eks_does(tmp_path, before, changed, says):
    with pytest.raises(Refused, match=says):
        updated(tmp_path, before, **changed)


def test_a_service_account_has_one_association(tmp_path):
    stated = {"clusterName": "inference", "namespace": "ai", "serviceAccount": "triton"}
    account = world({}, tmp_path)
    new_association(account, stated)
    account["resources"][ASSOCIATION] = {"a-1": stated}
    with pytest.raises(Refused, match="already exists"):
        new_association(account, stated)
    new_association(account, {**stated, "namespace": "other"})
