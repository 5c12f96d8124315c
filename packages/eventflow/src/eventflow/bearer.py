"""The token of each call, from a file or a command, so that no command line shows it."""

import shlex
import subprocess
from pathlib import Path

from eventflow.errors import EventFlowError

_COMMAND_SECONDS = 60
"""Longest time that a command may take: a person may have to confirm it."""


def token_metadata(file: Path | None, command: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata with the token; none if neither a file nor a command is given.

    The token is read once, so it must be valid for as long as the calls take.

    Args:
        file: File that holds the token alone.
        command: Command, without a shell, that prints it.

    Raises:
        EventFlowError: Both are given, one fails, or the result is no token.
    """
    if file and command:
        raise EventFlowError("--token-file and --token-command: give one of them")
    if file:
        return _bearer(_read(file), f"--token-file {file}")
    if command:
        return _bearer(_run(command), "--token-command")
    return ()


def _bearer(text: str, source: str) -> tuple[tuple[str, str], ...]:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise EventFlowError(f"{source}: expected one token, printable ASCII without spaces")
    return (("authorization", f"Bearer {token}"),)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        raise EventFlowError(f"--token-file {file}: {error.strerror}") from error


def _run(command: str) -> str:
    try:
        # The user's own command, as a credential helper of other tools.
        done = subprocess.run(  # noqa: S603
            shlex.split(command),
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise EventFlowError(f"--token-command: {error}") from error
    if done.returncode:
        raise EventFlowError(f"--token-command ended with {done.returncode}")
    return done.stdout
