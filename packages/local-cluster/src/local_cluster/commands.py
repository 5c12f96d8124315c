"""The last of what a program said, which is where it says why it failed."""

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
    """Run a program that has nothing to say while it goes well.

    Args:
        command: the program and its arguments.
        failure: head of the message when it fails.
        directory: where it runs; where this process does, if unset.
        environment: all of its environment; this process's, if unset.

    Raises:
        LocalClusterError: it failed; with the last of what it said.
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
    """A log's name, and its last lines if there are any."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        text = ""
    return _below(str(log), text)


def _below(head: str, text: str) -> str:
    return "\n  ".join([head, *text.splitlines()[-_TAIL_LINES:]])
