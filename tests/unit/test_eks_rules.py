"""The checks' figures are those of EKS's own service model, which botocore ships.

That EKS enforces them, and what else it enforces, is not shown.
"""

import typing
from typing import Any

import pytest
from botocore.loaders import Loader

from config.checks.eks import MAX_INSTANCE_TYPES, MAX_KEY
from config.sections.node_groups import NodeGroup
from config.sizing.instances import INSTANCE_TYPES, architecture_of, gpu_of, has_nvidia_gpu
from tests.extremes import NUMBERS


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
