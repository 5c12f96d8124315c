"""The watchdog's decisions, as the program that a container runs, about a server of the test's own.

Not shown: that Triton answers so; tests/serving has a real one with models that are dead.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryFile
from typing import IO, Any

import httpx2
import pytest

from components.triton import watchdog as triton_watchdog
from components.triton.start import WATCHDOG, watchdog_settings
from config.schema.overrides import with_overrides
from config.settings import Settings
from tests.envoy.harness.waiting import free_ports, wait_until
from tests.unit.test_triton_watchdog_requests import CONFIG, WARM

PATIENCE_SECONDS, SLICE_SECONDS = 1.5, 0.1
PATIENCE = round(PATIENCE_SECONDS / SLICE_SECONDS)
"""Failures in a row after which a model is dead, where each comes at once."""

PROGRAM = WATCHDOG.read_text().replace(
    f"\nSLICE_SECONDS = {triton_watchdog.SLICE_SECONDS}\n", f"\nSLICE_SECONDS = {SLICE_SECONDS}\n"
)
"""The watchdog, in smaller units of time."""

KEY = "the-pods-uid"

Verdict = tuple[int, str]
FINE, BROKEN, FULL = (200, "{}"), (500, "boom"), (503, "Exceeds maximum queue size")
UNKNOWN, SILENT = (404, "unknown model"), (0, "")


@dataclass
class FakeTriton:
    """Answers as Triton does; an inference as the test says."""

    config: dict[str, Any]
    infer: Callable[[int], Verdict]
    """Its answer to the nth inference."""
    calls: int = 0
    answered: int = 0
    """Calls of others that were answered since."""
    bodies: list[bytes] = field(default_factory=list[bytes])
    ended: threading.Event = field(default_factory=threading.Event)

    def reply(self, path: str, body: bytes) -> Verdict:
        if path == "/v2/repository/index":
            return 200, json.dumps([{"name": self.config["name"], "state": "READY"}])
        if path.endswith("/config"):
            return 200, json.dumps(self.config)
        if path.endswith("/stats"):
            count = {"success": {"count": self.answered}}
            return 200, json.dumps({"model_stats": [{"inference_stats": count}]})
        if path.endswith("/infer"):
            self.calls += 1
            self.bodies.append(body)
            verdict = self.infer(self.calls)
            if verdict is SILENT:
                self.ended.wait()
            return verdict
        return 200, ""


@dataclass
class Watched:
    """A container: the watchdog, and a child that stands for the server."""

    triton: FakeTriton
    process: "subprocess.Popen[bytes]"
    log: IO[str]
    port: int

    def is_ready(self) -> bool:
        """Return True if kubelet's startup probe would pass."""
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/", trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def wait_until_calls(self, count: int) -> None:
        wait_until(f"{count} inferences", lambda: self.triton.calls >= count)

    def end(self) -> tuple[int, str]:
        """Wait for its own end; return the exit code and the log."""
        code = self.process.wait(timeout=30)
        self.log.seek(0)
        return code, self.log.read()


@contextmanager
def watched(
    infer: Callable[[int], Verdict],
    config: dict[str, Any] | None = None,
    child: str = "sleep 600",
    **stated: Any,
) -> Iterator[Watched]:
    triton = FakeTriton(config or CONFIG, infer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            assert self.headers["admin-key"] == KEY
            status, text = triton.reply(self.path, body)
            self.send_response(status or 500)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - http.server's own spelling

        def log_message(self, *_: Any) -> None: ...

    class Listener(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """The watchdog gave up waiting."""

    # A file, for the child's own children outlive it here, as they do not in a container.
    with Listener(("127.0.0.1", 0), Handler) as server, TemporaryFile("w+") as log:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (port,) = free_ports(1)
        (stack,) = with_overrides(
            Settings(),
            {
                "inference[0].triton.httpPort": server.server_port,
                "inference[0].triton.watchdog": {
                    "port": port,
                    "intervalSeconds": 0.1,
                    "patienceSeconds": PATIENCE_SECONDS,
                    **stated,
                },
            },
        ).inference
        settings = json.dumps(watchdog_settings(stack))
        process = subprocess.Popen(
            [sys.executable, "-ISc", PROGRAM, settings, "bash", "-c", child],
            env={**os.environ, "POD_UID": KEY},
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Watched(triton, process, log, port)
        finally:
            triton.ended.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            server.shutdown()


def after(count: int, then: Verdict) -> Callable[[int], Verdict]:
    """Good for so many inferences, and then otherwise."""
    return lambda call: FINE if call <= count else then


@pytest.mark.parametrize(
    ("then", "words"), [(BROKEN, "boom"), (SILENT, "no answer"), (FULL, "Exceeds maximum queue")]
)
def test_a_model_that_dies_ends_the_container_with_its_last_words(
    then: Verdict, words: str
) -> None:
    """A full queue that answers nobody is dead as well."""
    assert WATCHDOG.read_text() != PROGRAM
    began_at = time.monotonic()
    with watched(after(3, then)) as container:
        code, said = container.end()
    assert code == 1
    assert f"model m answered no inference for 1.5 s: {words}" in said
    assert container.triton.calls > 3
    assert time.monotonic() - began_at >= PATIENCE_SECONDS - SLICE_SECONDS


def test_one_answer_among_failures_is_enough() -> None:
    """A model that fails some calls is not dead."""
    with watched(lambda call: FINE if call % 2 else BROKEN) as container:
        container.wait_until_calls(2 * PATIENCE + 4)
        assert container.process.poll() is None


def test_a_full_queue_is_life_as_long_as_others_are_answered() -> None:
    def infer(call: int) -> Verdict:
        container.triton.answered += 1
        return after(1, FULL)(call)

    with watched(infer) as container:
        container.wait_until_calls(PATIENCE + 4)
        assert container.process.poll() is None


def test_a_slow_answer_within_patience_is_life() -> None:
    def infer(_: int) -> Verdict:
        time.sleep(4 * SLICE_SECONDS)
        return FINE

    with watched(infer) as container:
        container.wait_until_calls(2 + PATIENCE // 4)
        assert container.process.poll() is None


def test_a_replica_is_started_when_its_model_has_answered() -> None:
    answers = threading.Event()

    def infer(_: int) -> Verdict:
        answers.wait()
        return FINE

    with watched(infer, WARM) as container:
        container.wait_until_calls(1)
        assert not container.is_ready()
        answers.set()
        wait_until("the replica has started", container.is_ready)


@pytest.mark.parametrize(
    "stated",
    [{}, {"requests": [{"model": "m", "inputs": [{"name": "x", "datatype": "FP32"}]}]}],
    ids=["warm-up", "stated"],
)
def test_a_model_that_fails_a_good_inference_from_the_start_is_never_ready(
    stated: dict[str, Any],
) -> None:
    """It is left to the startup probe's budget, as a first inference may take long."""
    with watched(lambda _: BROKEN, WARM, **stated) as container:
        container.wait_until_calls(4)
        assert not container.is_ready()
        assert container.process.poll() is None


@pytest.mark.parametrize("verdict", [BROKEN, UNKNOWN])
def test_a_derived_inference_that_never_succeeded_is_not_held_against_the_model(
    verdict: Verdict,
) -> None:
    with watched(lambda _: verdict) as container:
        wait_until("the replica has started", container.is_ready)
        container.process.terminate()
        assert "model m is not watched: it fails the request" in container.end()[1]


def test_a_stated_inference_that_is_not_accepted_keeps_the_replica_from_starting() -> None:
    requests = [{"model": "m", "inputs": [{"name": "y", "datatype": "BYTES", "shape": [2]}]}]
    with watched(lambda _: UNKNOWN, requests=requests) as container:
        container.wait_until_calls(1)
        assert not container.is_ready()
        assert b'"data": ["", ""]' in container.triton.bodies[0]


def test_a_skipped_model_gets_no_inference() -> None:
    with watched(lambda _: BROKEN, skippedModels=["m"]) as container:
        wait_until("the replica has started", container.is_ready)
        assert container.triton.calls == 0


@pytest.mark.parametrize(("ends", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_the_container_ends_as_the_server_does(ends: str, code: int) -> None:
    with watched(lambda _: FINE, child=ends) as container:
        assert container.end()[0] == code


def test_a_stop_reaches_the_server_which_is_watched_no_longer() -> None:
    """The inferences fail from then on, for longer than patience lasts."""
    stop = f"trap 'sleep {2 * PATIENCE_SECONDS}; exit 7' TERM; sleep 600 & wait"
    with watched(after(3, BROKEN), child=stop) as container:
        container.wait_until_calls(3)
        container.process.terminate()
        code, said = container.end()
    assert code == 7
    assert "answered no inference" not in said
