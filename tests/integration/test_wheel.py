"""The wheel of the components serves another team's program, in an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from config.base import PROJECT_FOLDER
from local_cluster.uv import ensure_uv
from tests.integration.checkout import Checkout, Ran

EXAMPLE = PROJECT_FOLDER / "examples" / "own-program"
OBJECTS = "deployments,services,networkpolicies,scaledobjects"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (ensure_uv(), "build", "--wheel", "--quiet", "--out-dir", folder, PROJECT_FOLDER)
    subprocess.run([*build, "--python", sys.executable], check=True)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Copy the example, with an environment that holds the wheel and what the wheel requires."""
    folder, uv = tmp_path_factory.mktemp("own-program"), ensure_uv()
    for name in ("Pulumi.yaml", "__main__.py"):
        (folder / name).write_text((EXAMPLE / name).read_text())
    # The locked versions, which are in uv's cache.
    locked = folder / "constraints.txt"
    export = ("export", "--frozen", "--no-hashes", "--no-emit-workspace", "--project")
    subprocess.run([uv, *export, PROJECT_FOLDER, "--quiet", "-o", locked], check=True)
    subprocess.run(
        [uv, "venv", "--quiet", "--python", sys.executable, folder / ".venv"], check=True
    )
    install = ("pip", "install", "--quiet", "--python", folder / ".venv", "--constraint", locked)
    # The language host of Pulumi asks pip for the environment's packages.
    subprocess.run([uv, *install, wheel, "pip"], check=True)
    return folder


@pytest.fixture
def clean() -> dict[str, str]:
    """Return this process' environment without a way to the checkout's modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture
def team(program: Path, empty: Checkout, clean: dict[str, str]) -> Iterator["Team"]:
    """Return another team at the bare cluster, with a backend of its own."""
    (state := program / "state").mkdir()
    own = {"PULUMI_BACKEND_URL": state.as_uri(), "PULUMI_STACK": "vision"}
    team = Team(program, {**clean, **empty.variables, **own})
    team.pulumi("stack", "init", "vision")
    team.pulumi("config", "set", "kubeconfig", str(empty.kubeconfig))
    yield team
    team.pulumi("stack", "rm", "--yes", "--force")


class Team:
    """A team that drives its program by bare `pulumi`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def pulumi(self, *arguments: str) -> str:
        command = ["pulumi", *arguments, "--non-interactive"]
        return Ran.run(command, self.folder, self.environment).ok().stdout


def test_the_wheel_has_one_import_name(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kubemind_inference"}
    assert "kubemind_inference/py.typed" in names


def test_the_example_is_at_most_40_lines() -> None:
    files = [EXAMPLE / "Pulumi.yaml", EXAMPLE / "__main__.py"]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 40


def test_the_installed_package_needs_no_aws_and_no_checkout(
    program: Path, clean: dict[str, str]
) -> None:
    code = (
        "import sys, kubemind_inference as k; assert not [m for m in sys.modules if 'pulumi' in m];"
        "k.Inference, k.KedaRelease, k.Prometheus, k.InferenceOutputs, k.await_rollouts;"
        "roots = {m.partition('.')[0] for m in sys.modules};"
        "assert not roots & {'components', 'config', 'pulumi_aws', 'lightkube', 'httpx'};"
        "import kubemind_inference.parameters; print(k.__file__)"
    )
    command = [str(program / ".venv" / "bin" / "python"), "-c", code]
    assert str(program) in Ran.run(command, program, clean).ok().stdout


def test_another_teams_program_is_applied_and_destroyed(team: Team, empty: Checkout) -> None:
    team.pulumi("up", "--yes", "--skip-preview")
    assert team.pulumi("stack", "output", "endpoint").strip() == (
        "envoy-gateway.vision.svc.cluster.local:8080"
    )
    named = empty.kubectl("get", OBJECTS, "-n", "vision", "-o", "name").ok().stdout
    for name in ("triton-inference-deployment", "envoy-gateway", "triton-inference-scaler"):
        assert f"/{name}\n" in named
    team.pulumi("preview", "--expect-no-changes")
    team.pulumi("destroy", "--yes", "--skip-preview")
    empty.kubectl("get", "namespace", "vision").failed()
