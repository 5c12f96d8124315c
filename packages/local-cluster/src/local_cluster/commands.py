"""Programs that print nothing unless they fail, and the last lines of logs."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.errors import LocalClusterError

_TAIL_LINES = 8


def run(
    command: Sequence[str | Path],
    failure: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program and discard its output, unless it fails.

    Args:
        command: Program and its arguments.
        failure: First line of the error message.
        directory: Working directory; this process's if unset.
        environment: Whole environment; this process's if unset.

    Raises:
        LocalClusterError: The program failed; the text ends with its last lines of output.
    """
    result = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode:
        raise LocalClusterError(_below(f"{failure}:", result.stdout))


def tail(log: Path) -> str:
    """Return the path of a log and its last lines."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        text = ""
    return _below(str(log), text)


def _below(head: str, text: str) -> str:
    return "\n  ".join([head, *text.splitlines()[-_TAIL_LINES:]])
