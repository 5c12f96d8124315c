"""The watchdog as the program that a container runs, before a server of the test's own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryFile
from typing import IO, Any

import httpx2

from components.triton.start import watchdog_program, watchdog_settings
from components.triton.watchdog import program
from config.schema.overrides import with_overrides
from config.settings import Settings
from tests.envoy.harness.waiting import free_ports, wait_until
from tests.unit.test_triton_watchdog_requests import CONFIG

PATIENCE_SECONDS, SLICE_SECONDS = 1.5, 0.1
PATIENCE = round(PATIENCE_SECONDS / SLICE_SECONDS)
"""Failures in a row after which a model is dead, where each comes at once."""

PROGRAM = watchdog_program().replace(
    f"\nSLICE_SECONDS = {program.SLICE_SECONDS}\n", f"\nSLICE_SECONDS = {SLICE_SECONDS}\n"
)
"""The watchdog, in smaller units of time."""

_SIGTERM = "\nSIGTERM_SECONDS = "

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
    ready: int = 200
    """Status of its own readiness; 0 stands for no answer."""

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
        if not self.ready:
            self.ended.wait()
        return self.ready, ""


@dataclass
class Watched:
    """A container: the watchdog, and a child that stands for the server."""

    triton: FakeTriton
    process: "subprocess.Popen[bytes]"
    log: IO[str]
    port: int

    def is_ready(self) -> bool:
        """Return True if kubelet's startup probe and a gateway's check would pass."""
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
    pre_stop_seconds: int = 1,
    signal_seconds: float = program.SIGTERM_SECONDS,
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
                "inference[0].triton.preStopSeconds": pre_stop_seconds,
                "inference[0].triton.watchdog": {
                    "port": port,
                    "intervalSeconds": 0.1,
                    "patienceSeconds": PATIENCE_SECONDS,
                    **stated,
                },
                # The least that a replica's lag allows.
                "inference[0].gateway.healthChecks": {
                    "intervalSeconds": 0.05,
                    "timeoutSeconds": 0.05,
                },
            },
        ).inference
        settings = json.dumps(watchdog_settings(stack))
        within = f"{_SIGTERM}{program.SIGTERM_SECONDS}\n"
        text = PROGRAM.replace(within, f"{_SIGTERM}{signal_seconds}\n")
        process = subprocess.Popen(
            [sys.executable, "-ISc", text, settings, "bash", "-c", child],
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
