"""The same program goes to any cluster: here a second local one, beside the one of dev.

Its nodes are simulated; what is shown is the way there, not what runs.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from pulumi.runtime import rpc

from config.sections.platform import LOCAL_CONTEXT
from tests.integration.checkout import Checkout, Ran
from tests.integration.preflights import with_user
from tests.integration.ways import HttpProxy, credential_plugin

STACK = ("--stack", "elsewhere")

Platform = dict[str, object]


@pytest.fixture
def platform_team(provisioned: Checkout) -> Callable[..., Ran]:
    """Bare `pulumi` in the platform team's project, which has the same backend."""
    folder = str(provisioned.path / "examples" / "platform")
    return lambda *arguments: provisioned.pulumi("--cwd", folder, *arguments).ok()


@pytest.fixture
def by_reference(platform_team: Callable[..., Ran], empty: Checkout) -> Iterator[Platform]:
    """A platform team's stack, which exports the way to the second cluster."""
    platform_team("stack", "select", "dev", "--create")
    platform_team("config", "set", "kubeconfigFile", str(empty.kubeconfig))
    platform_team("config", "set", "asObject", "true")
    platform_team("up", "--yes", "--skip-preview")
    yield {"kind": "stackReference", "stack": "organization/platform/dev"}
    platform_team("stack", "rm", "--yes", "--force")


@pytest.fixture
def by_kubeconfig(empty: Checkout) -> Platform:
    """The way to the second cluster as a file."""
    return {"kind": "kubeconfig", "path": str(empty.kubeconfig), "context": LOCAL_CONTEXT}


@pytest.fixture
def elsewhere(provisioned: Checkout) -> Iterator[Callable[[Platform], None]]:
    """Make a second stack of the program, for a platform."""
    stack_file = provisioned.env.stack_file

    def make(platform: Platform) -> None:
        provisioned.set_platform(**platform)
        stack_file.with_name("Pulumi.elsewhere.yaml").write_text(stack_file.read_text())
        provisioned.pulumi("stack", "init", "elsewhere").ok()

    yield make
    provisioned.pulumi("stack", "rm", "elsewhere", "--yes", "--force").ok()
    provisioned.pulumi("stack", "select", "dev").ok()


@pytest.fixture
def by_proxy(empty: Checkout, tmp_path: Path) -> Iterator[Platform]:
    """The way to it through a proxy, under another name, by a credential plug-in."""
    document = yaml.safe_load(empty.kubeconfig.read_text())
    with HttpProxy(document) as proxy:
        file = tmp_path / "kubeconfig"
        user = credential_plugin(tmp_path, document)
        file.write_text(yaml.safe_dump(with_user(proxy.document, **user)))
        yield {"kind": "kubeconfig", "path": str(file), "context": LOCAL_CONTEXT}
    assert proxy.asked_for == {proxy.NAME}


@pytest.mark.parametrize("way", ["by_proxy", "by_reference"])
def test_another_cluster_is_provisioned(
    provisioned: Checkout,
    empty: Checkout,
    elsewhere: Callable[[Platform], None],
    request: pytest.FixtureRequest,
    way: str,
) -> None:
    scaler = ("-n", "ai-namespace", "get", "scaledobject", "triton-inference-scaler")
    elsewhere(request.getfixturevalue(way))
    provisioned.pulumi("up", "--yes", "--skip-preview", *STACK).ok()
    empty.kubectl(*scaler).ok()
    provisioned.pulumi("preview", "--expect-no-changes", *STACK).ok()
    provisioned.pulumi("destroy", "--yes", "--skip-preview", *STACK).ok()
    assert "not found" in empty.kubectl(*scaler).failed().output
    empty.delete_namespaces()


def test_dev_on_another_cluster_asks_and_its_state_outlives_a_way_back_to_the_local_one(
    checkout: Checkout, by_kubeconfig: Platform
) -> None:
    """The question is Pulumi's own; shown here: it would ask, as it has no terminal."""
    checkout.set_platform(**by_kubeconfig)
    assert "--yes" in checkout.up().failed().output
    checkout.up("--yes").ok()
    state = checkout.env.checkpoint.read_text()
    checkout.reset_config()
    for command in ("up", "down"):
        said = checkout.ops(command).failed().output
        assert said.count("`make destroy` with `platform` in Pulumi.dev.yaml as it was") == 1, said
    assert checkout.env.checkpoint.read_text() == state
    assert not checkout.kubeconfig.exists()
    checkout.set_platform(**by_kubeconfig)
    assert "--yes" in checkout.ops("destroy").failed().output
    checkout.ops("destroy", "--yes").ok()
    checkout.reset_config()
    checkout.ops("down").ok()


def test_preflight_skips_an_unknown_kubeconfig_with_a_message(
    provisioned: Checkout,
    platform_team: Callable[..., Ran],
    by_reference: Platform,
    elsewhere: Callable[[Platform], None],
    tmp_path: Path,
) -> None:
    """As an update of the platform that did not come to its cluster leaves it."""
    exported = json.loads(platform_team("stack", "export").stdout)
    resources = exported["deployment"]["resources"]
    (stack,) = (resource for resource in resources if resource["type"] == "pulumi:pulumi:Stack")
    stack["outputs"]["kubeconfig"] = rpc.UNKNOWN
    (tmp_path / "state.json").write_text(json.dumps(exported))
    platform_team("stack", "import", "--file", str(tmp_path / "state.json"))
    elsewhere(by_reference)
    ran = provisioned.pulumi("preview", *STACK).ok()
    # Before that come the lines in which Pulumi tells of its progress.
    _, _, diagnostics = ran.output.partition("Diagnostics:")
    said = "preflight skipped: the platform's kubeconfig is not known yet"
    assert diagnostics.count(said) == 1, ran.output
