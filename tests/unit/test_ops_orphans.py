"""Orphans of Pulumi. The processes here only sleep; integration tests use the real ones."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ops.stack.orphans import orphans

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that sleeps under another program's name."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: Path, cwd: Path | None = None) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([program, "600"], executable="/bin/sleep", cwd=cwd)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


_SUBREAPER = """
import ctypes, subprocess, sys
if sys.platform == "linux":
    PR_SET_CHILD_SUBREAPER = 36
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
script = '"$0" 600 & echo $!; wait'
engine = subprocess.Popen([sys.argv[1], "-c", script, sys.argv[2]], stdout=subprocess.PIPE)
print(engine.stdout.readline().decode(), end="", flush=True)
sys.stdin.readline()
engine.kill()
engine.wait()
print("killed", flush=True)
sys.stdin.readline()
"""
"""As a user's systemd: what its descendants leave behind becomes its own, not process 1's."""


def test_a_provider_is_an_orphan_once_its_engine_is_dead_under_any_new_parent(
    tmp_path: Path,
) -> None:
    engine, home = tmp_path / "pulumi", tmp_path / "home"
    home.mkdir()
    shutil.copy("/bin/sh", engine)
    provider = home / "pulumi-resource-x"
    provider.symlink_to("/bin/sleep")
    with subprocess.Popen(
        [sys.executable, "-c", _SUBREAPER, engine, provider],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as subreaper:
        assert subreaper.stdin
        assert subreaper.stdout
        child = psutil.Process(int(subreaper.stdout.readline()))
        try:
            while child.cmdline()[:1] != [str(provider)]:
                pass  # Until the shell's copy of itself has become the provider.
            assert orphans(home) == []
            print(file=subreaper.stdin, flush=True)
            assert subreaper.stdout.readline() == "killed\n"
            assert orphans(home) == [child]
            if sys.platform == "linux":
                assert child.ppid() == subreaper.pid
        finally:
            child.kill()
            subreaper.kill()


def test_only_programs_in_the_folder_are_orphans(tmp_path: Path, start: Start) -> None:
    start(tmp_path / "home2/pulumi-resource-x")
    assert orphans(tmp_path / "home") == []
    ours = start(tmp_path / "home/plugins/pulumi-resource-x")
    assert [process.pid for process in orphans(tmp_path / "home")] == [ours.pid]


def test_a_language_host_is_an_orphan_of_the_home_that_its_engine_had(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("PULUMI_HOME", str(home))
    host = start(tmp_path / "tools/pulumi-language-python")
    start(tmp_path / "tools/kubectl")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "other"))
    start(tmp_path / "tools/pulumi-language-go")
    assert [process.pid for process in orphans(home)] == [host.pid]
