"""Watchdog of one replica: ends a Triton of which a model answers nothing, or fails every call.

Triton's health and readiness are its server's: they stay good when a model hangs, or when the
process of a python model is dead. Its counters tell no more: an error that a python model returns
counts as a success. So the watchdog makes one tiny inference of each model per interval, and kills
Triton once none has been answered for as long as its patience lasts. Then kubelet starts it again.
It also tells kubelet and the gateways whether the replica takes calls.

A saturated model is never ended: it answers the inference when its turn comes, and patience covers
the longest queue. Where a full queue refuses the inference, the answers to other calls count.

With `probe` it is a program of its own. It runs in Triton's container, as the first process, on the
image's Python (3.9 or later) and its standard library alone; `components.triton.start` passes the
text of both.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from components.triton.watchdog.probe import Probe

SLICE_SECONDS = 0.5
"""Unit in which patience is counted. One that took half as long again does not count: this process
was frozen, or starved of CPU, and Triton with it."""

SOCKET_SECONDS = 2
"""Longest wait for a connection or a part of an answer."""

IDLE_SECONDS = 60
"""Time without a request after which a client's connection ends."""

SIGTERM_SECONDS = 10
"""Time in which kubelet's SIGTERM must follow the end of the preStop hook."""

REFUSED, NOT_ACCEPTED = (429, 503), (400, 404)
"""HTTP statuses of a full queue, and those that blame the request."""

DERIVED_TRIES = 3
"""Errors after which a derived request is taken to be at fault, where none was answered before."""

TERMINATION_LOG = Path("/dev/termination-log")
"""File whose text kubelet shows as the container's last state."""


def say(text: str) -> None:
    """Print one line to the container's log."""
    print(f"watchdog: {text}", file=sys.stderr, flush=True)


def not_watched(model: str, why: str) -> None:
    """Tell that a model may die unnoticed, and what helps."""
    say(f"model {model} is not watched: {why}. State triton.watchdog.requests")


def path_of(model: str) -> str:
    """Return the path of a model."""
    return f"/v2/models/{urllib.parse.quote(model, safe='')}"


class NotAcceptedError(Exception):
    """The request is at fault, not the model."""


class Server:
    """Triton as a child process."""

    def __init__(self, command: list[str]) -> None:
        self.stopping = threading.Event()
        self.killed, self._pid = False, 0
        signal.signal(signal.SIGTERM, self._forward)
        # Python ignores these two, and a child would inherit that.
        usual = [signal.SIGPIPE, signal.SIGXFSZ]
        self._pid = os.posix_spawnp(command[0], command, os.environ, setsigdef=usual)

    def _forward(self, number: int, _frame: object) -> None:
        self.stopping.set()
        if self._pid:
            os.kill(self._pid, number)

    def wait(self) -> int:
        """Reap children, orphans included, until Triton ends; return the exit code."""
        while True:
            pid, status = os.wait()
            if pid == self._pid:
                self.stopping.set()
                code = os.waitstatus_to_exitcode(status)
                return 1 if self.killed else code if code >= 0 else 128 - code

    def kill(self, why: str) -> None:
        """Kill it, unless it is stopping anyway, and leave the reason where kubelet shows it."""
        if self.stopping.is_set():
            return
        say(why)
        with contextlib.suppress(OSError):
            TERMINATION_LOG.write_text(why)
        self.killed = True
        os.kill(self._pid, signal.SIGKILL)


class Triton:
    """HTTP client of the server in the same pod."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    def ask(
        self, method: str, path: str, probe: Probe | None = None, slices: float = math.inf
    ) -> tuple[int, bytes | None, float]:
        """Send one request; return status (0 without an answer), body, and the slices left.

        The body is None where no slice was left to wait for it.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SOCKET_SECONDS)
        try:
            body, headers = (probe.body, probe.headers) if probe else (b"", {})
            connection.request(method, path, body, {"admin-key": self._key, **headers})
            began_at = time.monotonic()
            while not select.select([connection.sock], [], [], SLICE_SECONDS)[0]:
                before, began_at = began_at, time.monotonic()
                slices -= began_at - before < 1.5 * SLICE_SECONDS
                if slices <= 0:
                    return 0, None, 0
            response = connection.getresponse()
            return response.status, response.read(), slices
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error).encode(), slices
        finally:
            connection.close()

    def get(self, path: str, method: str = "GET") -> Any:
        """Return the JSON at a path, or None."""
        status, body, _ = self.ask(method, path)
        return json.loads(body) if status == 200 and body else None

    def answered(self, model: str) -> int:
        """Count the inferences of a model that were answered since Triton started."""
        found: Any = self.get(f"{path_of(model)}/stats") or {}
        stats: Any = found.get("model_stats", ())
        return sum(stat["inference_stats"]["success"]["count"] for stat in stats)


class Watchdog:
    """Makes the inferences and decides."""

    def __init__(self, settings: Any, triton: Triton, server: Server) -> None:
        self._settings, self._triton, self._server = settings, triton, server
        self._slices = math.ceil(settings["patience_seconds"] / SLICE_SECONDS)
        self._unanswered = {""}
        """Models that have yet to answer once; not empty before they are known."""
        self._is_ready, self._leaves_until = False, 0.0

    def serve(self) -> None:
        """Answer kubelet's startup probe and preStop hook, and the gateways' health checks."""
        with socket.create_server(("", self._settings["port"]), backlog=1024) as listener:
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        """Answer one client: 200 while the replica takes calls, else 503."""
        with client, contextlib.suppress(OSError):
            client.settimeout(IDLE_SECONDS)
            while request := client.recv(4096):
                if request.startswith(f"GET {self._settings['stop_path']} ".encode()):
                    wait_seconds = self._settings["pre_stop_seconds"]
                    self._leaves_until = time.monotonic() + wait_seconds + SIGTERM_SECONDS
                    self._server.stopping.wait(wait_seconds)
                # A hook that no SIGTERM follows was not kubelet's.
                leaves = self._server.stopping.is_set() or time.monotonic() < self._leaves_until
                takes_calls = self._is_ready and not self._unanswered and not leaves
                status = "200 OK" if takes_calls else "503 Service Unavailable"
                client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    def _look(self) -> None:
        """See whether Triton is ready; a Triton that does not answer in time may be busy."""
        if status := self._triton.ask("GET", "/v2/health/ready")[0]:
            self._is_ready = status == 200

    def run(self) -> None:
        """Watch every model from when Triton is ready, each in a thread."""
        while not self._is_ready:
            if self._server.stopping.wait(SLICE_SECONDS):
                return
            self._look()
        probes = self._probes()
        self._unanswered = {probe.model for probe in probes}
        for probe in probes:
            threading.Thread(target=self._watch, args=(probe,), daemon=True).start()
        while not self._server.stopping.wait(self._settings["interval_seconds"]):
            self._look()

    def _probes(self) -> list[Probe]:
        """Take the stated requests, and derive one for every other model."""
        stated = self._settings["requests"]
        probes = [Probe(one["model"], one["inputs"], stated=True, trusted=True) for one in stated]
        left_out = {*self._settings["skipped_models"], *(one["model"] for one in stated)}
        found: Any = self._triton.get("/v2/repository/index", "POST") or ()
        names: set[str] = {one["name"] for one in found}
        for name in sorted(names - left_out):
            try:
                probes.append(Probe.derived(self._triton.get(f"{path_of(name)}/config")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                not_watched(name, repr(error))
        return probes

    def _watch(self, probe: Probe) -> None:
        """Make one inference each interval until Triton stops."""
        try:
            # A first inference may compile for minutes: the startup probe bounds it.
            words = self._try(probe, math.inf, math.inf if probe.trusted else DERIVED_TRIES)
            if words:
                raise NotAcceptedError(words)
            self._unanswered.discard(probe.model)
            while not self._server.stopping.wait(self._settings["interval_seconds"]):
                if words := self._try(probe, self._slices):
                    patience = self._settings["patience_seconds"]
                    self._server.kill(
                        f"model {probe.model} answered no inference for {patience:g} s: {words}"
                    )
        except NotAcceptedError as error:
            not_watched(probe.model, f"it fails the request: {error}")
            if not probe.stated:
                self._unanswered.discard(probe.model)

    def _try(self, probe: Probe, slices: float, tries: float = math.inf) -> str:
        """Repeat an inference until it is answered, or Triton stops; or return the last failure."""
        path, words, others = f"{path_of(probe.model)}/infer", "", None
        while not self._server.stopping.is_set():
            began_at, had = time.monotonic(), slices
            status, body, slices = self._triton.ask("POST", path, probe, had)
            if status == 200:
                return ""
            if not words:
                say(f"model {probe.model} failed an inference, which is repeated")
            words = "no answer" if body is None else body.decode(errors="replace")[:500]
            if status in NOT_ACCEPTED:
                raise NotAcceptedError(words)
            if status in REFUSED:
                before, others = others, self._triton.answered(probe.model)
                if before is not None and others > before:
                    return ""
            if slices == had:
                # A quick failure uses up a slice all the same.
                self._server.stopping.wait(SLICE_SECONDS - (time.monotonic() - began_at))
                slices -= 1
            tries -= 1
            if slices <= 0 or tries <= 0:
                return words
        return ""


def main(settings: Any, command: list[str]) -> int:
    """Run Triton to its end and return its exit code."""
    server = Server(command)
    triton = Triton(settings["http_port"], os.environ.get("POD_UID", ""))
    watchdog = Watchdog(settings, triton, server)
    threading.Thread(target=watchdog.serve, daemon=True).start()
    threading.Thread(target=watchdog.run, daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
