"""`make generate`: the parts of the documents that the program writes, between their markers."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

from components.contract import markdown
from config.base import PROJECT_FOLDER
from config.load import parse, read_stack_file
from config.schema.reference import baseline_refusal, parameter_tables
from config.sizing.capacity import summary
from ops.eks import costs, rights
from ops.lint.files import README_COLUMNS

README = PROJECT_FOLDER / "README.md"
DOCS = PROJECT_FOLDER / "docs"

PRINTED = ("up",)
"""Parts of the README that show a target's output; the tests that run the target compare them."""


def _capacity() -> str:
    settings = parse(read_stack_file(PROJECT_FOLDER / "Pulumi.dev.yaml"))
    return fenced(summary(settings, settings.inference[0]))


def _refusal() -> str:
    return fenced(baseline_refusal())


def _decisions() -> str:
    files = sorted((DOCS / "adr").glob("[0-9]*.md"))
    titles = [file.read_text().partition("\n")[0].removeprefix("# ") for file in files]
    return "\n".join(f"- [{t}]({file.name})" for file, t in zip(files, titles, strict=True))


GENERATED: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    README: {"refusal": _refusal},
    DOCS / "adr" / "README.md": {"decisions": _decisions},
    DOCS / "eks.md": {"rights": rights.markdown, "costs": costs.markdown},
    DOCS / "operations.md": {"capacity": _capacity},
    DOCS / "outputs.md": {"outputs": markdown},
    DOCS / "parameters.md": {"parameters": parameter_tables},
}
"""Generated parts by document: their names and the functions that write them."""


def fenced(text: str) -> str:
    """Return text as Markdown shows it letter by letter, with long lines folded."""
    folded = "\n".join(map(_folded, text.splitlines()))
    return f"```text\n{folded}\n```"


def _folded(line: str) -> str:
    if len(line) <= README_COLUMNS:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        line,
        README_COLUMNS,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def part(document: str, name: str) -> str:
    """Return the text between the markers of a part.

    Raises:
        ValueError: The document lacks a marker.
    """
    return _cut(document, name)[1].strip("\n")


def with_part(document: str, name: str, content: str) -> str:
    """Return the document with other content between the markers of a part.

    Raises:
        ValueError: The document lacks a marker.
    """
    before, _, after = _cut(document, name)
    return f"{before}\n{content}\n{after}"


def _cut(document: str, name: str) -> tuple[str, str, str]:
    """Return the text before, between and after the markers; the middle excludes them."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found, rest = document.partition(start)
    between, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the markers {start} and {end} are not both there")
    return before + start, between, end + after


def current(document: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return the document with these parts brought up to date.

    Raises:
        ValueError: The document lacks a marker.
    """
    for name, content in parts.items():
        document = with_part(document, name, content())
    return document


def main(documents: Mapping[Path, Mapping[str, Callable[[], str]]] = GENERATED) -> None:
    """Bring the documents up to date; if one lacks a marker, leave them all.

    Raises:
        ValueError: A document lacks a marker.
    """
    texts = {file: current(file.read_text(), parts) for file, parts in documents.items()}
    for file, text in texts.items():
        file.write_text(text)
