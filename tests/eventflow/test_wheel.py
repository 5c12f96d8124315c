"""The load client's wheel works in an environment that holds nothing of the project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_cluster.uv import ensure_uv

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with the wheel and its declared requirements."""
    folder, uv = tmp_path_factory.mktemp("installed"), ensure_uv()
    python = folder / "venv" / "bin" / "python"

    def install(*command: object) -> None:
        subprocess.run([uv, *command, "--quiet"], check=True)

    here = ("--python", sys.executable)
    install("build", "--wheel", "--out-dir", folder, PROJECT / "packages/eventflow", *here)
    install("venv", folder / "venv", *here)
    [wheel] = folder.glob("*.whl")
    install("pip", "install", "--python", python, wheel)
    return python.parent


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)


def test_the_installed_wheel_makes_a_burst_and_accounts_for_it(
    installed: Path, tmp_path: Path
) -> None:
    where = "import eventflow; print(eventflow.__file__)"
    file = Path(run(installed / "python", "-c", where, cwd=tmp_path).stdout.strip())
    assert file.is_relative_to(installed.parent)
    assert (file.parent / "py.typed").exists()
    assert "burst" in run(installed / "eventflow", "--help", cwd=tmp_path).stdout

    rejecting_server = [installed / "python", "-m", "eventflow.rejecting_server"]
    with subprocess.Popen(
        rejecting_server, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        endpoint = f"127.0.0.1:{int(server.stdout.readline())}"
        burst = (installed / "eventflow", "burst", endpoint, "-n", "1000", "--deadline", "20")
        done = run(*burst, "--json", "-", cwd=tmp_path)
        without_grpcio = run(*burst, "--engine", "grpcio", cwd=tmp_path)
        server.kill()

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcomes"]["breaker"] == 1000
    assert without_grpcio.returncode == 2
    assert without_grpcio.stderr == "error: --engine grpcio needs grpcio: pip install grpcio\n"
