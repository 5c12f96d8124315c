"""`make generate`: the parts of the README that the program makes, between their markers."""

from collections.abc import Callable, Mapping
from pathlib import Path

from components.contract import markdown
from config.base import PROJECT_FOLDER
from config.load import parse, read_stack_file
from config.schema.reference import parameter_tables, seed_refusal
from config.sizing.capacity import summary

README = PROJECT_FOLDER / "README.md"

PRINTED = ("up",)
"""Parts that show what these targets print; the tests that run them hold the README to it."""


def _capacity() -> str:
    settings = parse(read_stack_file(PROJECT_FOLDER / "Pulumi.dev.yaml"))
    return fenced(summary(settings, settings.inference[0]))


def _refusal() -> str:
    return fenced(seed_refusal())


GENERATED: Mapping[str, Callable[[], str]] = {
    "capacity": _capacity,
    "seed": _refusal,
    "parameters": parameter_tables,
    "outputs": markdown,
}


def fenced(text: str) -> str:
    """Text as Markdown shows it letter by letter."""
    return f"```text\n{text}\n```"


def part(document: str, name: str) -> str:
    """Return the text between the markers of a part.

    Raises:
        ValueError: The document lacks a marker.
    """
    return _cut(document, name)[1].strip("\n")


def with_part(document: str, name: str, content: str) -> str:
    """The document with other content between the markers of a part.

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


def current(document: str) -> str:
    """The document with every generated part brought up to date.

    Raises:
        ValueError: The document lacks a marker.
    """
    for name, content in GENERATED.items():
        document = with_part(document, name, content())
    return document


def main(file: Path = README) -> None:
    """Bring the file up to date."""
    file.write_text(current(file.read_text()))


if __name__ == "__main__":
    main()
