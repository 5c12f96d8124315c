"""uv is found or installed, and `.venv` brought up to date, whatever an earlier run left.

uv is a script here that records how it was called: that the real one syncs is shown by every fresh
clone in which a target of the Makefile runs.
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from config import base
from local_cluster import storage
from ops import bootstrap

RECORDING_UV = """#!/bin/sh
[ "$1" = --version ] && { echo "uv 0.9.1"; exit; }
echo "$@" >> "$(dirname "$0")/calls"
[ -e "$(dirname "$0")/fail" ] && exit 2
mkdir -p .venv/bin
ln -sf {python} .venv/bin/python
"""


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    file = tmp_path / "uv-bin" / "uv"
    file.parent.mkdir()
    file.write_text(RECORDING_UV.replace("{python}", sys.executable))
    file.chmod(0o755)
    return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pyproject.toml").write_text("[project]\n")
    (directory / "uv.lock").write_text("version = 1\n")
    monkeypatch.chdir(directory)
    return directory


def calls(uv: Path) -> int:
    record = uv.parent / "calls"
    return len(record.read_text().splitlines()) if record.exists() else 0


@pytest.mark.parametrize("file", ["pyproject.toml", "uv.lock", "packages/one/pyproject.toml"])
def test_an_environment_is_synced_once_and_again_when_a_file_behind_it_changes(
    file: str, uv: Path, project: Path
):
    for _ in range(3):
        bootstrap.sync_environment(uv, project)
    assert calls(uv) == 1
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text("# changed\n")
    bootstrap.sync_environment(uv, project)
    assert calls(uv) == 2


def test_an_incomplete_environment_is_recreated(uv: Path, project: Path):
    half = project / ".venv" / "lib" / "half-linked"
    half.parent.mkdir(parents=True)
    half.write_text("")
    bootstrap.sync_environment(uv, project)
    assert not half.exists()
    assert calls(uv) == 1


def test_an_environment_without_its_interpreter_is_recreated(uv: Path, project: Path):
    bootstrap.sync_environment(uv, project)
    (project / ".venv" / "bin" / "python").unlink()
    bootstrap.sync_environment(uv, project)
    assert calls(uv) == 2
    assert (project / ".venv" / "bin" / "python").exists()


def test_a_failed_sync_is_reported_and_retried(uv: Path, project: Path):
    (uv.parent / "fail").write_text("")
    with pytest.raises(RuntimeError, match="uv sync failed"):
        bootstrap.sync_environment(uv, project)
    (uv.parent / "fail").unlink()
    bootstrap.sync_environment(uv, project)
    bootstrap.sync_environment(uv, project)
    assert calls(uv) == 2


def test_too_little_disk_is_refused_before_anything_is_synced(
    uv: Path, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bootstrap, "ENVIRONMENT_MIB", 10**9)
    with pytest.raises(RuntimeError, match=r"not enough disk .*project.* needs 976562\.5 GiB"):
        bootstrap.sync_environment(uv, project)
    assert calls(uv) == 0


def test_what_it_cannot_import_yet_agrees_with_the_program():
    assert bootstrap.PROJECT == base.PROJECT_FOLDER
    assert bootstrap.STATE_FOLDER == base.STATE_FOLDER
    assert storage.cache_root().name == base.PROJECT


def test_a_machine_without_a_usable_python_gets_advice_what_to_install(tmp_path: Path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    system = tmp_path / "system"
    system.mkdir()
    for name in ("sh", "dirname", "cat"):
        (system / name).symlink_to(shutil.which(name) or name)
    script = bootstrap.PROJECT / "ops" / "bootstrap.sh"
    ran = subprocess.run(
        [script], env={"PATH": f"{tmp_path}:{system}"}, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "no Python >= 3.11 and < 3.15" in ran.stderr
    assert "apt-get install python3-venv" in ran.stderr
    assert ran.stdout == ""


def test_the_script_makes_the_environment_of_its_own_checkout_and_prints_where_uv_is(
    uv: Path, project: Path
):
    package = "packages/local-cluster/src/local_cluster"
    used = ("ops/bootstrap.sh", "ops/bootstrap.py")
    for name in (*used, *(f"{package}/{file}.py" for file in ("__init__", "storage", "uv"))):
        copy = project / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bootstrap.PROJECT / name, copy)
    environment = {**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        ran = subprocess.run(
            [project / "ops/bootstrap.sh"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == f"{uv}\n"
    assert calls(uv) == 1
    assert (project / ".venv" / "bin" / "python").exists()


def test_the_lock_of_a_sync_is_not_removed_under_who_holds_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / bootstrap.STATE_FOLDER / "bootstrap.lock"
    waits = threading.Event()
    monkeypatch.setattr(bootstrap, "report_wait", lambda _: waits.set())
    remover = threading.Thread(target=bootstrap.drop_lock, args=(project,))
    with storage.locked(file, lambda _: None):
        remover.start()
        assert waits.wait(30)
        assert file.exists()
    remover.join(30)
    assert not file.exists()
