"""Sizes of files and lines."""

from collections.abc import Iterator

from ops.lint.finding import Finding

PYTHON_LINES = 300
"""Most lines of a Python file, so that it can be read in one go."""

README_COLUMNS = 120
"""Most characters of a README's line."""


def check_length(file: str, source: str) -> Iterator[Finding]:
    """Yield a finding if a Python file is too long to be read in one go."""
    lines = len(source.splitlines())
    if lines > PYTHON_LINES:
        yield Finding(file, 0, f"{lines} lines, of {PYTHON_LINES} at most: split the file")


def check_readme(file: str, source: str) -> Iterator[Finding]:
    """Yield the lines of a README that are too long."""
    for number, line in enumerate(source.splitlines(), start=1):
        if len(line) > README_COLUMNS:
            yield Finding(
                file, number, f"{len(line)} characters, of {README_COLUMNS} at most: wrap the line"
            )
