"""The same program goes to any cluster: here a second local one, beside the one of dev.

Its nodes are simulated; what is shown is the way there, not what runs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.platform import LOCAL_CONTEXT, LOCAL_KUBECONFIG
from tests.integration.checkout import Checkout

STACK = ("--stack", "elsewhere")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The second cluster, with nothing on it."""
    other = Checkout.make(tmp_path_factory.mktemp("other"))
    try:
        other.ops("cluster").ok()
        yield other
    finally:
        other.ops("down").ok()


@pytest.fixture
def by_reference(provisioned: Checkout, other: Checkout) -> Iterator[dict[str, object]]:
    """A platform team's stack in the same backend, which exports the way to the second cluster."""
    folder = ("--cwd", str(provisioned.path / "tests" / "platform"))
    kubeconfig = str(other.path / LOCAL_KUBECONFIG)
    provisioned.pulumi(*folder, "stack", "select", "dev", "--create").ok()
    provisioned.pulumi(*folder, "config", "set", "kubeconfigFile", kubeconfig).ok()
    provisioned.pulumi(*folder, "up", "--yes", "--skip-preview").ok()
    yield {"kind": "stackReference", "stack": "organization/platform/dev"}
    provisioned.pulumi(*folder, "stack", "rm", "--yes", "--force").ok()


@pytest.fixture
def by_kubeconfig(other: Checkout) -> dict[str, object]:
    path = str(other.path / LOCAL_KUBECONFIG)
    return {"kind": "kubeconfig", "path": path, "context": LOCAL_CONTEXT}


@pytest.mark.parametrize("way", ["by_kubeconfig", "by_reference"])
def test_another_cluster_is_provisioned(
    provisioned: Checkout, other: Checkout, request: pytest.FixtureRequest, way: str
) -> None:
    platform = request.getfixturevalue(way)
    scaler = ("-n", "ai-namespace", "get", "scaledobject", "triton-inference-scaler")
    try:
        provisioned.set_config(platform=platform)
        stack_file: Path = provisioned.env.stack_file
        stack_file.with_name("Pulumi.elsewhere.yaml").write_text(stack_file.read_text())
        provisioned.pulumi("stack", "init", "elsewhere").ok()
        provisioned.pulumi("up", "--yes", "--skip-preview", *STACK).ok()
        other.kubectl(*scaler).ok()
        provisioned.pulumi("preview", "--expect-no-changes", *STACK).ok()
        provisioned.pulumi("destroy", "--yes", "--skip-preview", *STACK).ok()
        assert "not found" in other.kubectl(*scaler).failed().output
        provisioned.pulumi("stack", "rm", "elsewhere", "--yes").ok()
    finally:
        provisioned.reset_config()
        (provisioned.path / "Pulumi.elsewhere.yaml").unlink(missing_ok=True)
        provisioned.pulumi("stack", "select", "dev").ok()
