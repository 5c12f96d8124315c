"""The benchmark runs from end to end and reports its measurements. No speed is tested."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from eventflow.bench import run_eventflow, run_ghz
from eventflow.bench_servers import envoy_path, rejecting_server_process
from eventflow.kserve import grpc_message
from eventflow.load import ClosedLoop
from eventflow.load_generator import Plan
from eventflow.outcomes import Outcome
from eventflow.report import summarize
from eventflow.run import Burst, run_burst
from eventflow.target import Target
from hostile_server import Peer, breaker, hostile_thread, serving


def test_the_rejecting_server_rejects_every_call_and_keeps_the_connection() -> None:
    with rejecting_server_process() as port:
        work = Burst(
            target=Target(host="127.0.0.1", port=port),
            plan=Plan(load=ClosedLoop(500), calls=30_000, deadline_seconds=20.0),
            message=grpc_message(b""),
        )
        report = summarize(work, asyncio.run(run_burst(work)))
    assert {outcome: n for outcome, n in report.outcomes.items() if n} == {Outcome.BREAKER: 30_000}
    assert (report.connections_opened, report.connections_killed) == (1, 0)


def test_the_benchmark_reports_the_rates_of_each_client_and_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "eventflow.bench", "-n", "300", "--repeats", "2"]
    done = subprocess.run([*command, "--output", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    clients = ("eventflow fast", "eventflow grpcio")
    servers = ("rejecting server", "Envoy") if envoy_path() else ("rejecting server",)
    assert set(document["samples"]) == {f"{c}, {s}" for c in clients for s in servers}
    for samples in document["samples"].values():
        assert [sample["ended"] for sample in samples] == [300, 300]
        assert all(sample["ended_per_second"] > 0 for sample in samples)
    assert document["machine"]["versions"]["hpack"]
    assert document["machine"]["cores"] >= 1


@pytest.mark.parametrize("hang_up", [False, True])
def test_unanswered_calls_do_not_count_in_the_rate_of_this_client(hang_up: bool) -> None:
    def answer_every_other(peer: Peer, stream: int) -> None:
        if stream % 4 == 1:
            peer.reply(stream, breaker(stream))
        if stream == 199 and hang_up:
            peer.writer.close()

    with hostile_thread(serving(answer_every_other)) as server:
        ours = run_eventflow(server.port, 100, "fast")
    assert ours.ended == 50
    # Without a disconnect the other calls wait for their deadline of 2 s.
    assert hang_up or ours.ended_per_second < 50 / 2.0


def test_unanswered_calls_do_not_count_in_the_rate_of_ghz(tmp_path: Path) -> None:
    """Not shown: that ghz itself reports in this form."""
    ghz = tmp_path / "ghz"
    answers = {"Unavailable": 50, "DeadlineExceeded": 50}
    told = {"count": 100, "total": 2e9, "statusCodeDistribution": answers}
    ghz.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    ghz.chmod(0o755)
    rival = run_ghz(ghz, 1, 100, 10, tmp_path)
    assert (rival.ended, rival.ended_per_second) == (50, 25.0)
