"""A fault that a rule finds."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A fault at a line of a file."""

    file: str
    """Path, relative to the project."""

    line: int
    """Line, from 1; 0 for the file as a whole."""

    message: str
    """The fault and its fix."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"
