"""A `kubectl proxy` on a private Unix socket, through which this program uses client-go."""

import contextlib
import http.client
import json
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from components.cluster.kubeconfig import KubeconfigContext, kubectl_environment
from components.common.kubernetes_api import (
    ApiRefusedError,
    ApiUnreachableError,
    KubeconfigRefusedError,
)

START_SECONDS = 30.0
"""Time limit for kubectl to open its socket, which takes 0.1 s on an idle machine."""

ENDS_WITH_US = (
    'exec 3<&0; "$@" </dev/null 3<&- & exec >/dev/null 2>&1; read -r _ <&3; kill $!; wait $!'
)
"""Shell script that runs a command until standard input ends, which it does with this program,
however that ends."""

_MAX_SOCKET_PATH = 100
"""Bytes that the path of a Unix socket may have on every system (Linux 107, macOS 103)."""


class KubectlProxy:
    """A running `kubectl proxy` for one context of a kubeconfig; started by `connect`.

    `close` ends it, and so does the end of this program.
    """

    def __init__(self, target: KubeconfigContext) -> None:
        self._target = target
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()

    def close(self) -> None:
        """End kubectl and delete its folder."""
        with self._changing:
            self._stop()

    def connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        """Return an open connection to kubectl, and start kubectl if it does not run.

        Raises:
            KubeconfigRefusedError: The command does not start with this kubeconfig.
            ApiUnreachableError: The command ends as soon as it has started.
        """
        for _ in range(2):
            process = self._start()
            connection = _UnixConnection(self._socket, timeout_seconds)
            try:
                connection.connect()
            except OSError:
                # Someone ended kubectl.
                self._end(process)
            else:
                return connection
        raise ApiUnreachableError("kubectl proxy ends as soon as it has started")

    @property
    def _socket(self) -> str:
        return f"{self._folder}/socket"

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._changing:
            if self._process:
                return self._process
            self._folder = private_folder()
            kubeconfig = self._folder / "kubeconfig"
            kubeconfig.write_text(json.dumps(self._target.document), encoding="utf-8")
            command = [
                *("kubectl", "proxy", "--unix-socket", self._socket, "--append-server-path"),
                *("--kubeconfig", str(kubeconfig), "--context", self._target.context),
            ]
            with (self._folder / "stderr").open("wb") as stderr:
                self._process = subprocess.Popen(  # noqa: S603 - kubectl, as found on PATH
                    ["sh", "-c", ENDS_WITH_US, "sh", *command],  # noqa: S607
                    env=kubectl_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    # Ctrl-C is for this program, which may have requests left.
                    start_new_session=True,
                )
            try:
                self._wait_for_socket(self._process)
            except KubeconfigRefusedError:
                self._stop()
                raise
            return self._process

    def _wait_for_socket(self, proxy: "subprocess.Popen[bytes]") -> None:
        # "Starting to serve on ...", or the end of the output if kubectl has ended.
        assert proxy.stdout  # noqa: S101 - a pipe, by the arguments above
        ready, _, _ = select.select([proxy.stdout], [], [], START_SECONDS)
        if not ready:
            raise KubeconfigRefusedError(f"kubectl did not start within {START_SECONDS:g} s")
        if not proxy.stdout.readline():
            raise KubeconfigRefusedError(" ".join(self._error_lines()).removeprefix("error: "))

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with self._changing:
            # Unless another thread has started a new one in the meantime.
            if self._process is process:
                self._stop()

    def _stop(self) -> None:
        if self._process:
            assert self._process.stdin  # noqa: S101 - a pipe
            self._process.stdin.close()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def last_error_line(self) -> str:
        """Return the last line that kubectl or a credential plug-in wrote; empty for none."""
        return next(reversed(list(self._error_lines())), "")

    def _error_lines(self) -> Iterator[str]:
        """Yield the lines on standard error that are not kubectl's log of failed requests."""
        with contextlib.suppress(OSError):
            for line in Path(f"{self._folder}/stderr").read_text(errors="replace").splitlines():
                if line.strip() and not re.match(r"[EWI]\d{4} ", line):
                    yield line.strip()

    def failure(self, why: str) -> Exception:
        """Convert client-go's message about a failed request to an error."""
        if "x509: certificate signed by unknown authority" in why:
            return ApiUnreachableError(
                "no authority that the kubeconfig trusts signed its certificate"
            )
        if not why.startswith("getting credentials: "):
            return ApiUnreachableError(why)
        command = self._target.command
        name = f"its credential command {command.get('command')}"
        reason = why.removeprefix("getting credentials: ").removeprefix("exec: ").splitlines()[0]
        if reason.endswith("not found"):
            hint = " ".join((command.get("installHint") or "").split())
            return ApiRefusedError(f"{name} is not installed{f' ({hint})' if hint else ''}")
        if "failed with exit code" in reason:
            return ApiRefusedError(f"{name} failed: {self.last_error_line() or reason}")
        if "decoding stdout" in reason:
            return ApiRefusedError(f"{name} returned no credentials: {reason}")
        return ApiRefusedError(f"{name}: {reason}")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def private_folder() -> Path:
    """Make a folder that only this user may enter, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="kubemind-"))
    if len(f"{folder}/socket".encode()) > _MAX_SOCKET_PATH:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="kubemind-", dir="/tmp"))
    return folder
