"""The rules, the files that each reads, and the folders that do not keep them yet."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ops.lint.docstrings import check_docstrings
from ops.lint.files import check_length, check_readme
from ops.lint.finding import Finding

Rule = Callable[[str, str], Iterator[Finding]]

RULES: Sequence[tuple[str, Rule]] = (
    ("*.py", check_docstrings),
    ("*.py", check_length),
    ("README.md", check_readme),
)
"""File name pattern and rule; a rule gets the name and the text of a file."""

NOT_YET_CLEAN: tuple[str, ...] = ("config/",)
"""Files, and folders with a slash at the end, whose findings are not reported yet. An entry whose
files are clean is a finding itself, so that the list only shrinks."""


def check(
    files: Mapping[str, str],
    rules: Sequence[tuple[str, Rule]] = RULES,
    not_yet_clean: Sequence[str] = NOT_YET_CLEAN,
) -> list[Finding]:
    """Return what the rules find in some files.

    Args:
        files: Text by path, relative to the project.
        rules: Pattern and rule.
        not_yet_clean: Entries as of `NOT_YET_CLEAN`.
    """
    findings: list[Finding] = []
    faulty: set[str] = set()
    for file, source in files.items():
        name = PurePosixPath(file).name
        found = [
            finding
            for pattern, rule in rules
            if PurePosixPath(name).match(pattern)
            for finding in rule(file, source)
        ]
        covering = [entry for entry in not_yet_clean if _covers(entry, file)]
        if found:
            faulty.update(covering)
        if not covering:
            findings += found
    findings += [
        Finding(entry, 0, "is clean: delete its entry in NOT_YET_CLEAN (ops/lint/rules.py)")
        for entry in not_yet_clean
        if entry not in faulty and any(_covers(entry, file) for file in files)
    ]
    return sorted(findings)


def _covers(entry: str, file: str) -> bool:
    return file.startswith(entry) if entry.endswith("/") else file == entry


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
