"""Errors that end a command with a message."""

from typing import ClassVar


class OpsError(Exception):
    """An error that ends a command; its text is the whole message for the user."""

    exit_code: ClassVar[int] = 1
