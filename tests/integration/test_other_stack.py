"""Stacks of one name in several backends, on one cluster: each keeps to its own objects.

The nodes are simulated; a real engine and a real API server decide. What makes an object a stack's
own is tests/integration/test_ownership.py's.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from components.common.labels import IDENTITY_LABEL
from components.state.ownership import ADOPT_VARIABLE
from ops.stack.environment import PROJECT
from tests.integration.checkout import Checkout
from tests.integration.preflights import unwrapped

EARLIER = "b5faffd"
"""Commit of the release before identities."""

UNATTENDED = ("--yes", "--skip-preview")


def another_login(checkout: Checkout, backend: Path) -> dict[str, str]:
    """Variables of a second backend, in which the stack has no state yet."""
    backend.mkdir()
    env = {"PULUMI_BACKEND_URL": f"file://{backend}"}
    checkout.pulumi("stack", "init", checkout.stack, env=env).ok()
    return env


def identity(checkout: Checkout) -> str:
    """Identity that the stack's namespace carries."""
    shown = checkout.kubectl("get", "namespace", "ai-namespace", "-o", "json").ok().stdout
    return json.loads(shown)["metadata"]["labels"][IDENTITY_LABEL]


def test_a_stack_of_the_same_name_in_another_backend_is_refused_and_removes_nothing(
    provisioned: Checkout, tmp_path: Path
) -> None:
    login = another_login(provisioned, tmp_path / "backend")
    before = provisioned.objects()
    for command in (("preview",), ("up", *UNATTENDED)):
        said = unwrapped(provisioned.pulumi(*command, env=login).failed().output)
        assert f"(file://{provisioned.env.backend_dir})" in said
        assert f"{ADOPT_VARIABLE}={identity(provisioned)} pulumi up --stack dev" in said
        assert "nothing was touched" in said
    provisioned.pulumi("destroy", *UNATTENDED, env=login).ok()
    assert provisioned.objects() == before


@pytest.fixture
def earlier(empty: Checkout, tmp_path: Path) -> Checkout:
    """The program of the earlier release, in the backend and on the cluster of the empty one."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", EARLIER], cwd=PROJECT, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    (folder / ".state").symlink_to(empty.env.state_dir)
    return Checkout(folder)


def test_stacks_of_an_earlier_release_are_kept_adopted_and_removed_without_loss(
    empty: Checkout, earlier: Checkout, tmp_path: Path
) -> None:
    empty.ops("preview").ok()
    earlier.pulumi("up", *UNATTENDED).ok()
    login = another_login(empty, tmp_path / "backend")
    said = unwrapped(empty.pulumi("preview", env=login).failed().output)
    assert "of a stack whose state is elsewhere" in said
    empty.ops("retain").ok()
    # In the state that holds them the same objects are the stack's own.
    changes = empty.preview_steps()
    replaced = {name for name, op in changes.items() if op not in ("create", "update", "refresh")}
    # Named by its contents, which may differ between releases; pods may still mount the former.
    assert replaced <= {"kubernetes:core/v1:ConfigMap::inference-triton-models"}
    empty.up().ok()
    first = identity(empty)

    shutil.rmtree(empty.env.backend_dir)
    assert f"(identity {first})" in unwrapped(empty.up().failed().output)
    empty.ops("adopt").ok()
    assert identity(empty) != first
    assert empty.preview_steps() == {}

    empty.kubectl("-n", "observability", "create", "configmap", "notes").ok()
    empty.pulumi("destroy", *UNATTENDED).ok()
    empty.kubectl("-n", "observability", "get", "configmap", "notes").ok()
    said = unwrapped(empty.ops("destroy").ok().output)
    assert "namespace observability stays" in said
    assert "did not make: ConfigMap observability/notes" in said
    left = empty.kubectl("get", "namespace", "-l", IDENTITY_LABEL, "-o", "name").ok().stdout
    assert left.split() == ["namespace/observability"]
    empty.delete_namespaces()
