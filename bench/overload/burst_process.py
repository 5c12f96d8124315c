"""The load client as a process, from its start to its report."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.errors import OpsError
from ops.stack.environment import PROJECT

_ENDLESS_SECONDS = 3600.0
"""Longest run of a client that runs until it is stopped."""

_INTERRUPTED = 128 + signal.SIGINT
_ACCOUNT_SECONDS = 60.0
"""Longest time for the last answers and for the report on millions of calls."""

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class BurstProcess:
    """A running `eventflow burst`; as a context manager it ends with its block."""

    process: "subprocess.Popen[bytes]"
    report_file: Path
    log: Path
    """Its standard output and error."""

    @classmethod
    def start(
        cls,
        address: str,
        *,
        window: int | None = None,
        rate: float | None = None,
        seconds: float | None = None,
        calls: int | None = None,
        deadline_seconds: float = 2.0,
        arguments: Sequence[str] = (),
        enter: Sequence[str] = (),
        niceness: int = 0,
        folder: Path,
    ) -> Self:
        """Start a client; return when it makes calls, or has ended.

        Without `seconds` and `calls` it runs until it is stopped.

        Args:
            address: `host:port` of the gateway.
            window: Calls in flight, for a closed loop.
            rate: Calls per second, for an open loop.
            seconds: Duration of the load.
            calls: Number of calls.
            deadline_seconds: Deadline of each call.
            arguments: Further options of `eventflow burst`.
            enter: Beginning of a command line that runs it in the gateway's network.
            niceness: Niceness within its session and of its session, 0 to 19.
            folder: Existing folder for its report and its output; for one client at a time.
        """
        report_file, log = folder / "client.json", folder / "client.log"
        report_file.unlink(missing_ok=True)
        if seconds is None and calls is None:
            seconds = _ENDLESS_SECONDS
        command = [sys.executable, "-m", "eventflow", "burst", address, *arguments]
        command += ["--deadline", str(deadline_seconds), "--json", str(report_file)]
        for name, value in (
            ("--window", window),
            ("--rate", rate),
            ("--seconds", seconds),
            ("--calls", calls),
        ):
            command += [] if value is None else [name, str(value)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*enter, "nice", "-n", str(niceness), *command],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        client = cls(process, report_file, log)
        try:
            # Linux schedules sessions before it uses the niceness of processes (sched(7)).
            with suppress(OSError):
                Path(f"/proc/{process.pid}/autogroup").write_text(str(niceness))
            client._until_it_is_connected()
        except BaseException:
            # In its own session the client would otherwise run on, unknown to anybody.
            client.kill()
            raise
        return client

    def stop(self) -> dict[str, Any]:
        """Interrupt it, if it still runs, and return its report.

        Raises:
            OpsError: It failed, or wrote no report in time.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self._report(_ACCOUNT_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Wait until it ends by itself and return its report.

        Raises:
            OpsError: It failed, or did not end in time.
        """
        return self._report(timeout_seconds)

    def _until_it_is_connected(self) -> None:
        """Wait until it catches signals; then it is connected, and ends with a report."""
        deadline = time.monotonic() + _START_SECONDS
        while self.process.poll() is None and not _catches(self.process.pid, signal.SIGTERM):
            if time.monotonic() > deadline:
                raise OpsError(f"the client made no call within {_START_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)

    def _report(self, timeout_seconds: float | None) -> dict[str, Any]:
        try:
            code = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise OpsError(f"the client did not end within {timeout_seconds:g} s") from error
        if code not in (0, _INTERRUPTED) or not self.report_file.exists():
            said = self.log.read_text(errors="replace").strip()
            raise OpsError(f"the client ended with {code}: {said}")
        report: dict[str, Any] = json.loads(self.report_file.read_text())
        return report

    def kill(self) -> None:
        """Kill it; it writes no report."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.kill()


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return True if a process has a handler for a signal (proc(5), `SigCgt`)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
