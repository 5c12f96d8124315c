"""Rules of `make lint`: each is fired by a small mutation of a clean file."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ops.lint.files import PYTHON_LINES, README_COLUMNS
from ops.lint.rules import check, read_files
from ops.stack.environment import PROJECT

CLEAN = '''"""Calls of a client."""

LIMIT = 3
"""Most calls in flight."""


class Calls:
    """Calls in flight."""

    count: int
    """Number of calls."""

    def end(self, status: str) -> int:
        """End a call.

        Args:
            status: Status of the call; what
                follows is part of this entry.

        Returns:
            The number of calls that are left: not what
            was there before.

        Raises:
            KeyError: No call is in flight.
            OSError: `close` failed.
        """
        return self.count
'''


def messages(source: str, file: str = "ops/calls.py") -> list[str]:
    return [finding.message for finding in check({file: source})]


def test_a_clean_file_has_no_findings():
    assert messages(CLEAN) == []


@pytest.mark.parametrize(
    "opening",
    ["What is", "Who makes", "Whose", "Which", "That the", "How many", "Whether it", "Whatever"],
)
@pytest.mark.parametrize(
    "docstring",
    ["Calls of a", "Most calls", "Calls in flight", "Number of", "End a call"],
)
def test_a_docstring_that_opens_with_a_clause_is_found(docstring: str, opening: str):
    """Of a module, a module's constant, a class, an attribute and a function."""
    mutated = CLEAN.replace(f'"""{docstring}', f'"""{opening} {docstring}', 1)
    (message,) = messages(mutated)
    assert message.startswith("the docstring opens with a clause")


@pytest.mark.parametrize(
    ("entry", "line"),
    [("Status of the call", 17), ("The number of calls", 21), ("No call is", 25)],
)
def test_an_entry_in_lower_case_is_found_at_its_line(entry: str, line: int):
    lower = entry[0].lower() + entry[1:]
    (finding,) = check({"ops/calls.py": CLEAN.replace(entry, lower)})
    assert finding.line == line
    assert finding.message.startswith(f"begin the entry with a capital: '{lower}")


def test_a_word_that_only_begins_like_a_clause_is_no_finding():
    assert messages('"""Howto of whatnot."""\n') == []


def test_a_python_file_with_one_line_too_many_is_found():
    assert messages("x = 1\n" * PYTHON_LINES) == []
    assert messages("x = 1\n" * (PYTHON_LINES + 1)) == [
        f"{PYTHON_LINES + 1} lines, of {PYTHON_LINES} at most: split the file"
    ]


@pytest.mark.parametrize("file", ["README.md", "packages/any/README.md"])
def test_a_readme_line_with_one_character_too_many_is_found(file: str):
    assert messages("x" * README_COLUMNS + "\n", file) == []
    (message,) = messages("x" * (README_COLUMNS + 1) + "\n", file)
    assert "wrap the line" in message


def test_a_long_line_elsewhere_is_no_finding():
    assert messages("x" * 200 + "\n", "docs/architecture.md") == []


PHRASES = [
    ("an|ew", "The stack makes its objects an|ew."),
    ("is s|aid", "The reason is s|aid in one line."),
    ("were s|aid", "The reasons were_s|aid in one line."),
    ("looked a|t", "The cluster is Looked a|t first."),
    ("roll-o|ut", "A roll-o|ut waits."),
    ("roll o|uts", "Two roll o|uts wait."),
    ("try a|gain", "Clients try a|gain."),
    ("tried a|gain", "def test_a_call_is_tried_a|gain():"),
    ("Who|ever", "Who|ever calls waits."),
]
"""Phrase and line, with a bar inside the phrase so that this file has no finding."""


@pytest.mark.parametrize("file", ["ops/calls.py", "docs/calls.md", "README.md"])
@pytest.mark.parametrize(("phrase", "line"), PHRASES)
def test_a_phrase_that_has_a_plain_equivalent_is_found(phrase: str, line: str, file: str):
    comment = f"# {line}".replace("|", "")
    (finding,) = check({file: f"# Calls of a client.\n{comment}\n"})
    assert finding.line == 2
    assert finding.message.casefold().startswith(f"'{phrase.replace('|', '').casefold()}'")


@pytest.mark.parametrize("text", ["Look at it.", "It said so.", "a rollout, a scroll out", "told"])
def test_other_phrases_are_no_finding(text: str):
    assert messages(f"# {text}\n") == []


def test_this_checkout_is_clean_and_make_lint_says_so():
    assert check(read_files(PROJECT)) == []
    result = subprocess.run(
        [str(PROJECT / ".venv/bin/python"), "-m", "ops", "lint"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
    assert "$(PY) -m ops lint" in (PROJECT / "Makefile").read_text()


def test_an_import_of_a_package_that_is_not_declared_is_found(tmp_path: Path):
    """numpy is installed here, as a dependency of others."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    (tmp_path / "program.py").write_text("import numpy\n")
    result = subprocess.run(
        [str(PROJECT / ".venv/bin/deptry"), "--no-ansi", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "program.py:1:8: DEP003 'numpy'" in result.stderr
    assert ".venv/bin/deptry ." in (PROJECT / "Makefile").read_text()
