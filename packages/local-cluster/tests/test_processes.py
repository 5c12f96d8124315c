"""Ownership of processes. These processes only sleep; integration tests have the real ones."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local_cluster import processes

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


def test_a_process_is_the_clusters_if_its_program_lies_in_the_folder(
    tmp_path: Path, start: Start
) -> None:
    ours = start(tmp_path / "local/.kwok/clusters/x/bin/etcd")
    start(Path("/elsewhere/bin/etcd"))
    start(tmp_path / "local2/.kwok/clusters/x/bin/etcd")
    found = processes.find(tmp_path / "local")
    assert {name: [p.pid for p in listed] for name, listed in found.items()} == {"etcd": [ours.pid]}


def test_a_shell_or_an_editor_in_the_folder_does_not_belong_to_the_cluster(
    tmp_path: Path, start: Start
) -> None:
    root = tmp_path / "local"
    (root / ".kwok").mkdir(parents=True)
    editor = start(Path("/usr/bin/vim"), cwd=root / ".kwok")
    script = start(root / "script", cwd=root)
    assert processes.stop_all(root) == []
    assert editor.poll() is None
    assert script.poll() is None


def test_stopping_ends_all_of_the_folders_processes_and_no_other(
    tmp_path: Path, start: Start
) -> None:
    root = tmp_path / "local"
    ours = [start(root / "bin/kwokctl"), start(root / ".kwok/clusters/x/bin/kube-apiserver")]
    other = start(tmp_path / "other/.kwok/clusters/x/bin/kube-apiserver")
    assert processes.stop_all(root) == ["kube-apiserver", "kwokctl"]
    assert [process.wait() for process in ours] == [-9, -9]
    assert other.poll() is None


def test_a_dead_process_that_is_not_reaped_counts_as_ended(tmp_path: Path, start: Start) -> None:
    zombie = start(tmp_path / "local/bin/kwokctl")
    os.kill(zombie.pid, 9)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE
    assert processes.find(tmp_path / "local") == {}


def test_processes_are_found_after_the_folder_was_moved_or_removed(
    tmp_path: Path, start: Start
) -> None:
    old, new = tmp_path / "old/local", tmp_path / "new/local"
    cluster = old / ".kwok/clusters/x"
    cluster.mkdir(parents=True)
    process = start(cluster / "bin/etcd", cwd=cluster)
    new.parent.mkdir()
    old.rename(new)
    assert processes.find(new)["etcd"][0].pid == process.pid
    assert processes.find(old)["etcd"][0].pid == process.pid
