"""The event flow as a process of its own, from its start to its report."""

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
"""Longest run of a client that is to go on until it is stopped."""

_INTERRUPTED = 128 + signal.SIGINT
_ACCOUNT_SECONDS = 60.0
"""Longest time for the last answers and for the account of millions of calls."""

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
        """Start a client, and return when it makes calls, or has ended.

        Without `seconds` and `calls` it goes on until it is stopped.

        Args:
            address: `host:port` of the gateway.
            window: Closed loop: so many calls under way.
            rate: Open loop: so many calls a second.
            seconds: Make calls for so long.
            calls: Make so many.
            deadline_seconds: Deadline of each call.
            arguments: Further options of `eventflow burst`.
            enter: Beginning of a command line that makes it run where the gateway is reached.
            niceness: What it yields to others of its session and to other sessions, 0 to 19.
            folder: An existing folder for its report and its output; one client at a time.
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
            # Linux groups processes by session before it looks at their own niceness (sched(7)).
            with suppress(OSError):
                Path(f"/proc/{process.pid}/autogroup").write_text(str(niceness))
            client._until_it_accounts()
        except BaseException:
            # Nobody else knows of it, and in a session of its own it would go on to its end.
            client.kill()
            raise
        return client

    def stop(self) -> dict[str, Any]:
        """Interrupt it, if it still runs, and return its report.

        Raises:
            OpsError: It failed, or gave no account in time.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self._report(_ACCOUNT_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Wait for its own end and return its report.

        Raises:
            OpsError: It failed, or did not end in time.
        """
        return self._report(timeout_seconds)

    def _until_it_accounts(self) -> None:
        """Wait until it catches signals, and so ends with an account; it is connected then."""
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
        """End it at once, without an account."""
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
