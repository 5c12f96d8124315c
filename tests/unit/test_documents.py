"""The generated parts of the documents are current, and every link leads to a file.

The outputs of `make up` and `make test` are not compared here: the tests that run them do it.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.documents import GENERATED, PRINTED, README, current, fenced, main, part, with_part
from ops.lint.files import README_COLUMNS
from ops.lint.rules import read_files
from ops.stack.environment import PROJECT

README_LINES = 250
"""Most lines of the README, so that a newcomer reads it in one go."""

PARTS = {name: content for parts in GENERATED.values() for name, content in parts.items()}
EMPTY = "".join(f"<!-- {name}:start -->\nstale\n<!-- {name}:end -->\n" for name in PARTS)


@pytest.mark.parametrize("file", GENERATED, ids=lambda file: str(file.relative_to(PROJECT)))
def test_the_document_is_current(file: Path):
    """`make generate` brings it up to date."""
    text = file.read_text()
    assert text == current(text, GENERATED[file])


@pytest.mark.parametrize("name", PRINTED)
def test_the_readme_has_a_place_for_the_output_of_a_target(name: str):
    assert part(README.read_text(), name).startswith("```text\n")


def test_generated_parts_go_between_their_markers(tmp_path: Path):
    file = tmp_path / "README.md"
    file.write_text(f"# T\n{EMPTY}end\n")
    main({file: PARTS})
    text = file.read_text()
    assert "stale" not in text
    assert text.startswith("# T\n")
    assert text.endswith("-->\nend\n")
    for name, content in PARTS.items():
        assert part(text, name) == content()
    assert current(text, PARTS) == text


def test_a_part_is_read_as_it_was_put():
    document = with_part(EMPTY, "refusal", fenced("a\n  b"))
    assert part(document, "refusal") == "```text\na\n  b\n```"
    assert part(document, "outputs") == "stale"


def test_a_long_line_is_folded_at_its_spaces_and_loses_no_word():
    line = "  loadQuery  " + " + ".join(f"rate(requests_{n}[15s])" for n in range(20))
    _, first, *rest, _ = fenced(f"short\n{line}").splitlines()[1:]
    folded = [first, *rest]
    assert len(folded) > 1
    assert all(len(row) <= README_COLUMNS for row in folded)
    assert all(row.startswith("      ") for row in folded[1:])
    assert " ".join(row.strip() for row in folded) == line.strip()


@pytest.mark.parametrize("marker", ["parameters:start", "parameters:end", "refusal:end"])
def test_a_document_without_a_marker_is_refused_and_none_is_written(tmp_path: Path, marker: str):
    whole, faulty = tmp_path / "whole.md", tmp_path / "faulty.md"
    whole.write_text(EMPTY)
    faulty.write_text(EMPTY.replace(f"<!-- {marker} -->", ""))
    before = faulty.read_text()
    with pytest.raises(ValueError, match="not both there"):
        main({whole: PARTS, faulty: PARTS})
    assert whole.read_text() == EMPTY
    assert faulty.read_text() == before


def test_the_readme_can_be_read_in_one_go():
    assert len(README.read_text().splitlines()) <= README_LINES


def test_every_link_to_a_file_or_a_heading_of_this_checkout_resolves():
    """Links to other sites are not followed."""
    documents = {name: text for name, text in read_files(PROJECT).items() if name.endswith(".md")}
    assert "README.md" in documents
    assert list(broken_links(documents)) == []


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("docs/adr/README.md", False),
        ("docs/adr", False),
        ("docs/absent.md", True),
        ("#a-title-of-calls", False),
        ("#another-title", True),
        ("docs/other.md#its-title", False),
        ("docs/other.md#a-title-of-calls", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, broken: bool):
    documents = {
        "docs/a.md": f"# A title of `calls`\n[b](../{link})\n".replace("../#", "#"),
        "docs/other.md": "## Its title\n",
    }
    assert bool(list(broken_links(documents))) == broken


def test_a_link_to_another_site_is_not_followed():
    assert list(broken_links({"a.md": "[b](https://example.com/absent.md)"})) == []


def broken_links(documents: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the file and the target of each relative link that leads nowhere."""
    for file, text in documents.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
            if "://" in target:
                continue
            path, _, heading = target.partition("#")
            linked = os.path.normpath(Path(file).parent / path) if path else file
            missing = linked not in documents and not (PROJECT / linked).exists()
            if missing or (heading and heading not in headings(documents[linked])):
                yield file, target


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
