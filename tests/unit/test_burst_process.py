"""The event flow as a process: started, stopped, its report taken. No gateway, no Kubernetes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.overload import burst_process as clients
from bench.overload.burst_process import BurstProcess
from ops.errors import OpsError
from ops.stack.environment import PROJECT


@pytest.fixture(scope="module")
def rejecting_server() -> Iterator[str]:
    """Address of a server that refuses every call."""
    command = [sys.executable, "-m", "eventflow.rejecting_server"]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()


def test_a_client_that_ends_by_itself_leaves_its_report(
    rejecting_server: str, tmp_path: Path
) -> None:
    with BurstProcess.start(rejecting_server, calls=100, folder=tmp_path) as client:
        report = client.wait(60)
    assert report["calls"] == report["outcomes"]["breaker"] == 100
    assert client.stop() == report


def test_a_client_without_an_end_is_stopped_and_accounts_for_each_call(
    rejecting_server: str, tmp_path: Path
) -> None:
    with BurstProcess.start(
        rejecting_server, window=5, deadline_seconds=30.0, niceness=1, folder=tmp_path
    ) as client:
        report = client.stop()
    assert report["interrupted"]
    assert report["load"] == "window of 5"
    assert report["deadline_seconds"] == 30.0
    assert sum(report["outcomes"].values()) == report["calls"] > 0


def test_a_client_that_cannot_connect_fails_with_its_own_words(tmp_path: Path) -> None:
    # Port 1 of loopback: nobody listens there.
    client = BurstProcess.start("127.0.0.1:1", calls=1, folder=tmp_path)
    with pytest.raises(OpsError, match=r"127\.0\.0\.1:1"):
        client.wait(60)


def test_leaving_the_block_ends_the_client(rejecting_server: str, tmp_path: Path) -> None:
    with BurstProcess.start(rejecting_server, window=1, folder=tmp_path) as client:
        assert client.process.poll() is None
    assert client.process.poll() is not None


def test_an_interruption_before_the_first_call_leaves_no_client_behind(
    rejecting_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupt(pid: int, _: object) -> bool:
        assert psutil.pid_exists(pid)
        started.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(clients, "_catches", interrupt)
    with pytest.raises(KeyboardInterrupt):
        BurstProcess.start(rejecting_server, window=1, folder=tmp_path)
    [pid] = started
    assert not psutil.pid_exists(pid)


def test_a_client_runs_under_the_command_that_enters_a_network(
    rejecting_server: str, tmp_path: Path
) -> None:
    """Signals still reach it. Not shown: the namespace of a cluster, which takes root."""
    enter = ("env", "ENTERED=yes")
    with BurstProcess.start(rejecting_server, window=1, enter=enter, folder=tmp_path) as client:
        assert psutil.Process(client.process.pid).environ()["ENTERED"] == "yes"
        report = client.stop()
    assert report["interrupted"]
