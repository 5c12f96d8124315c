"""The package alone: installed where nothing of this project is, it runs a cluster.

The tools come from the cache or are built. Not shown: the mode `serving`, which needs root.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_cluster.toolchain import TABLE, ensure
from local_cluster.uv import ensure_uv

PACKAGE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that holds the wheel and its requirements only."""
    folder, uv = tmp_path_factory.mktemp("alone"), ensure_uv()
    python = folder / "venv" / "bin" / "python"

    def run(*command: object) -> None:
        subprocess.run([uv, *command, "--quiet"], check=True)

    here = ("--python", sys.executable)
    run("build", "--wheel", "--out-dir", folder, PACKAGE, *here)
    run("venv", folder / "venv", *here)
    [wheel] = folder.glob("*.whl")
    run("pip", "install", "--python", python, wheel)
    return python.parent


def run(*command: object, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_finds_the_tools_of_this_checkout(
    programs: Path, tmp_path: Path
) -> None:
    script = (
        "import json, local_cluster; from local_cluster.toolchain import TABLE; "
        "keys = {name: tool.cache_key for name, tool in TABLE.items()}; "
        "print(json.dumps([local_cluster.__file__, keys]))"
    )
    file, keys = json.loads(run(programs / "python", "-c", script, cwd=tmp_path))
    assert Path(file).is_relative_to(programs.parent)
    assert (Path(file).parent / "py.typed").exists()
    assert keys == {name: tool.cache_key for name, tool in TABLE.items()}


@pytest.mark.tools
def test_the_installed_package_starts_and_stops_a_simulated_cluster(
    programs: Path, tmp_path: Path
) -> None:
    kubectl = ensure("cluster")["kubectl"]
    command = programs / "local-cluster"
    try:
        up = ("up", "--mode", "simulated", "--cpu-nodes", "1", "--gpu-nodes", "2", "--gpus", "3")
        assert "2 of 2 GPU nodes ready" in run(command, *up, cwd=tmp_path)
        kubeconfig = tmp_path / ".local-cluster/local/kubeconfig"
        gpus = "jsonpath={.items[*].status.allocatable.nvidia\\.com/gpu}"
        asked = ("--kubeconfig", kubeconfig, "get", "nodes", "-o", gpus)
        assert run(kubectl, *asked, cwd=tmp_path) == "3 3"
    finally:
        run(command, "down", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
