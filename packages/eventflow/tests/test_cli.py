"""The command line: a burst, its report, and errors that name the fix."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from eventflow.cli import app
from eventflow.errors import EventFlowError
from eventflow.kserve import grpc_message
from eventflow.outcomes import Outcome
from hostile_server import Peer, breaker, end, hang, hostile_thread, ok, serving


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def answering(answer: Callable[[int], bytes]) -> Any:
    return hostile_thread(serving(lambda peer, stream: peer.reply(stream, answer(stream))))


def mixed(peer: Peer, stream: int) -> None:
    answers = (
        ok,
        breaker,
        lambda s: end(s, 14, "no healthy upstream"),
        lambda s: end(s, 5, "no x"),
    )
    peer.reply(stream, answers[stream // 2 % 4](stream))


def test_a_burst_ends_with_a_table_and_a_report_that_add_up(tmp_path: Path) -> None:
    file, plot = tmp_path / "report.json", tmp_path / "burst.png"
    with hostile_thread(serving(mixed)) as server:
        result = invoke(
            "burst",
            f"127.0.0.1:{server.port}",
            *("-n", "400", "--window", "20", "--deadline", "5"),
            *("--json", str(file), "--picture", str(plot)),
        )
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert {name for name, calls in report["outcomes"].items() if calls} == {
        "ok",
        "breaker",
        "no_healthy_upstream",
        "other",
    }
    assert set(report["outcomes"].values()) == {0, 100}
    assert sum(report["outcomes"].values()) == report["calls"] == report["issued"] == 400
    assert set(report["outcomes"]) == set(Outcome)
    assert report["latency_ms"]["ok"]["count"] == 100
    assert report["refusal_ms"]["count"] == 200
    assert report["load"] == "window of 20"
    assert report["connections_opened"] == 1
    for words in ("400 calls to 127.0.0.1", "100 breaker, x-envoy-overloaded", "goodput", "of 20"):
        assert words in result.output
    assert (
        "note: the server does not know the model; name another one with --model (no x)"
        in result.output
    )
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_report_to_standard_output_is_json_alone() -> None:
    with answering(ok) as server:
        result = invoke("burst", f"127.0.0.1:{server.port}", "-n", "5", "--json", "-")
    assert json.loads(result.stdout)["outcomes"]["ok"] == 5


def test_infer_prints_the_response_of_the_model() -> None:
    message = b"\x0a\x04echo\x2a\x0f\x0a\x03OUT\x12\x05BYTES\x1a\x01\x01\x32\x06\x02\0\0\0hi"
    with answering(lambda s: ok(s, grpc_message(message))) as server:
        result = invoke("infer", f"127.0.0.1:{server.port}", "--text", "hi")
    assert result.exit_code == 0
    assert "echo answered in" in result.output
    assert "OUT BYTES 1: 'hi'" in result.output


def test_infer_prints_the_status_of_a_failed_call_and_exits_with_an_error() -> None:
    with answering(lambda s: end(s, 5, "unknown model 'x'")) as server:
        result = invoke("infer", f"127.0.0.1:{server.port}", "--model", "x")
    assert result.exit_code == 1
    assert "NOT_FOUND: unknown model 'x'" in result.output


def test_calls_are_counted_for_the_replica_that_the_response_names() -> None:
    # parameters { key: "pod" value { string_param: "a" } }
    message = b"\x22\x0a\x0a\x03pod\x12\x03\x1a\x01a"
    with answering(lambda s: ok(s, grpc_message(message))) as server:
        endpoint = f"127.0.0.1:{server.port}"
        result = invoke("burst", endpoint, "-n", "30", "--pod-parameter", "pod", "--json", "-")
    report = json.loads(result.stdout)
    assert report["calls_per_pod"] == {"a": 30}
    assert report["pods_from"] == "the answers"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "endpoint 'nowhere': expected HOST:PORT"),
        (("127.0.0.1:1",), "127.0.0.1:1: connection refused"),
        (("127.0.0.1:1", "--window", "2", "--rate", "3"), "give one of them"),
        (("127.0.0.1:1", "--tensor", "x"), "expected NAME:DATATYPE:SHAPE"),
        (("127.0.0.1:1", "--metadata", "x"), "expected NAME=VALUE"),
        (("127.0.0.1:1", "--ca", "/nowhere.pem"), "TLS: cannot use /nowhere.pem"),
        (("127.0.0.1:1", "--prometheus", "http://x"), "add --picture FILE"),
        (("127.0.0.1:1", "--counters", "x"), "expected an http:// or https:// URL"),
        (("127.0.0.1:1", "--engine", "grpcio", "--connections", "2"), "one connection per process"),
        (("127.0.0.1:1", "-n", "1", "--processes", "2"), "a burst of 1 cannot be divided among 2"),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(
    arguments: tuple[str, ...], message: str
) -> None:
    result = invoke("burst", *arguments)
    assert isinstance(result.exception, EventFlowError)
    assert message in str(result.exception)


def test_the_user_sees_that_sentence_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "eventflow", "burst", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: 127.0.0.1:1: connection refused\n"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_burst_reports_unfinished_calls_as_cancelled(
    processes: int, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    with hostile_thread(serving(hang)) as server:
        command = [sys.executable, "-m", "eventflow", "burst", f"127.0.0.1:{server.port}"]
        options = ["-n", "1000", "--window", "50", "--deadline", "60", "--json", str(file)]
        burst = subprocess.Popen([*command, *options, "--processes", str(processes)])
        while sum(len(peer.open_now) for peer in server.peers) < 50:
            assert burst.poll() is None
            time.sleep(0.02)
        os.kill(burst.pid, signal.SIGINT)
        assert burst.wait(30) == 130
    report = json.loads(file.read_text())
    assert report["outcomes"]["cancelled"] == report["calls"] == 1000
    assert report["interrupted"]
    details = {detail["detail"]: detail["calls"] for detail in report["details"]}
    assert details == {"by the client": 50, "before it was made": 950}


def test_several_processes_and_connections_share_the_calls() -> None:
    with answering(ok) as server:
        result = invoke(
            "burst",
            f"127.0.0.1:{server.port}",
            *("-n", "301", "--rate", "2000", "--processes", "2", "--connections", "2"),
            *("--deadline", "20", "--json", "-"),
        )
        assert len(server.peers) == 4
        assert all(peer.frames_seen for peer in server.peers)
    report = json.loads(result.stdout)
    assert report["outcomes"]["ok"] == report["calls"] == 301
    assert (report["processes"], report["connections_asked"]) == (2, 4)
    assert report["connections_opened"] == 4


def test_a_process_that_cannot_connect_ends_the_whole_burst() -> None:
    result = invoke("burst", "127.0.0.1:1", "-n", "10", "--processes", "2")
    assert str(result.exception) == "127.0.0.1:1: connection refused"
