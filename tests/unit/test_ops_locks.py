"""Locks of dev's backend and of the commands that work on dev."""

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.stack import recovery
from ops.stack.environment import StackEnvironment


@pytest.fixture
def env(tmp_path: Path) -> StackEnvironment:
    """Dev, with a state of its own."""
    return StackEnvironment(stack="dev", project=tmp_path)


def _lock(env: StackEnvironment, pid: int, hostname: str, age: timedelta) -> Path:
    """A lock as Pulumi's file backend writes it."""
    file = env.backend_dir / ".pulumi/locks/organization/p/dev/1.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC) - age
    held = {"pid": pid, "username": "u", "hostname": hostname, "timestamp": at.isoformat()}
    file.write_text(json.dumps(held))
    return file


def _dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


_NOW = timedelta(0)


def test_a_lock_of_a_live_process_of_this_host_is_kept(env: StackEnvironment) -> None:
    file = _lock(env, os.getpid(), socket.gethostname(), _NOW)
    assert recovery.release_dead_locks(env) == 0
    assert file.exists()


@pytest.mark.parametrize(
    ("is_live", "hostname", "age"),
    [
        (False, socket.gethostname(), _NOW),
        (True, "an-older-name", _NOW),
        (True, socket.gethostname(), timedelta(days=900)),
    ],
    ids=["dead", "host-name-changed", "number-used-again"],
)
def test_a_lock_that_nobody_holds_is_released(
    env: StackEnvironment, is_live: bool, hostname: str, age: timedelta
) -> None:
    file = _lock(env, os.getpid() if is_live else _dead(), hostname, age)
    assert recovery.release_dead_locks(env) == 1
    assert not file.exists()


def test_one_command_at_a_time_works_on_dev(env: StackEnvironment) -> None:
    order: list[str] = []
    waits = threading.Event()

    def waiting(holder: str) -> None:
        order.append(holder)
        waits.set()

    def second() -> None:
        with recovery.exclusive(env, waiting):
            order.append("second")

    thread = threading.Thread(target=second)
    with recovery.exclusive(env, waiting):
        thread.start()
        assert waits.wait(60)
        order.append("first")
    thread.join()
    assert order == [str(os.getpid()), "first", "second"]


def test_other_stacks_take_no_lock_of_ours(tmp_path: Path) -> None:
    with recovery.exclusive(StackEnvironment(stack="prod", project=tmp_path), lambda _: None):
        assert list(tmp_path.iterdir()) == []
