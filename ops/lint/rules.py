"""The rules, and the files that each of them reads."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ops.lint.docstrings import check_docstrings
from ops.lint.files import check_length, check_readme
from ops.lint.finding import Finding
from ops.lint.kinds import check_kinds
from ops.lint.words import check_words

Rule = Callable[[str, str], Iterator[Finding]]

RULES: Sequence[tuple[str, Rule]] = (
    ("*.py", check_docstrings),
    ("*.py", check_length),
    ("README.md", check_readme),
    ("*.py", check_words),
    ("*.md", check_words),
)
"""File name pattern and rule; a rule gets the name and the text of a file."""


def check(files: Mapping[str, str]) -> list[Finding]:
    """Return the findings of the rules in some files.

    Args:
        files: Text by path, relative to the project.
    """
    found = (
        finding
        for file, source in files.items()
        for pattern, rule in RULES
        if PurePosixPath(file).match(pattern)
        for finding in rule(file, source)
    )
    return sorted([*found, *check_kinds(files)])


def read_files(project: Path) -> dict[str, str]:
    """Read the files of a checkout that a rule may want, without those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {name: (project / name).read_text() for name in listed if (project / name).is_file()}
