"""The cost of importing the reusable components and the commands, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

import kubemind_inference

PROJECT = Path(__file__).parents[2]

LOADED = """
import sys, pulumi, pulumi_kubernetes
before = set(sys.modules)
import {module}
print(*(set(sys.modules) - before))
"""
"""Program that tells the modules which an import adds to those of Pulumi's own SDKs.

pulumi itself loads http.client.
"""

HEAVY = ("components.cluster", "pulumi_aws", "httpx2", "lightkube", "requests", "urllib3")


def loaded(module: str) -> set[str]:
    command = [sys.executable, "-c", LOADED.format(module=module)]
    return set(subprocess.check_output(command, cwd=PROJECT, text=True).split())


def test_inference_loads_no_aws_no_preflight_and_no_client() -> None:
    found = loaded("components.inference")
    assert {"components.inference", "components.rollout.component"} <= found
    assert not [one for one in found if one.startswith(HEAVY)]


def test_the_node_group_loads_aws() -> None:
    assert "pulumi_aws" in loaded("components.gpus.node_group")


def test_karpenters_node_pool_loads_no_aws() -> None:
    assert not [one for one in loaded("components.gpus.node_pool") if one.startswith(HEAVY)]


def test_a_command_loads_no_resource_of_kubernetes() -> None:
    """The program alone declares resources; each command would pay for the SDK's modules.

    Nor does it load the library that reads certificates, which only a stack with TLS needs.
    """
    code = "import sys, ops.commands.up; print(*sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True).split()
    assert "components.state.contents" in found
    assert not [one for one in found if one.startswith("pulumi_kubernetes.") and ".v1" in one]
    assert not [one for one in found if one.startswith("cryptography")]


def test_the_package_loads_nothing_until_a_name_is_used() -> None:
    code = "import sys, kubemind_inference; print(*sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True).split()
    assert not [one for one in found if one.startswith(("pulumi", "components", "config"))]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", kubemind_inference.__all__)
def test_each_export_of_the_package_is_found(name: str) -> None:
    found = getattr(kubemind_inference, name)
    assert found.__name__ == name


def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Inferense'"):
        _ = kubemind_inference.Inferense  # pyright: ignore[reportAttributeAccessIssue]
