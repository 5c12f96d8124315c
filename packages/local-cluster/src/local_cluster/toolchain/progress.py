"""Progress report of a build: a live line on a terminal, plain lines elsewhere.

Everything goes to standard error, so that commands can print results on standard output.
"""

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

PLAIN_INTERVAL_SECONDS = 30.0


class Progress:
    """Reports one tool at a time: its name, the current step, and the elapsed time."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._tool = ""
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def start(self, tool: str, step: str) -> None:
        """Report the start of a tool."""
        self._tool = tool
        self._began = self._printed = time.monotonic()
        if self._status:
            self.step(step)
        else:
            self.say(f"{tool}: {step}")

    def step(self, step: str) -> None:
        """Report the next step of the current tool."""
        now = time.monotonic()
        line = f"{self._tool}: {step} ({_clock(now - self._began)})"
        if self._status:
            width = self._console.width - 4
            self._status.update(escape(line if len(line) <= width else line[: width - 3] + "..."))
        elif now - self._printed >= PLAIN_INTERVAL_SECONDS:
            self._printed = now
            self.say(line)

    def done(self) -> None:
        """Report that the current tool is ready."""
        self.say(f"{self._tool}: ready ({_clock(time.monotonic() - self._began)})")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
