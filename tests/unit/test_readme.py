"""The README's generated parts are current.

Not what `make up` and `make test` print: the tests that run them hold the README to it.
"""

from pathlib import Path

import pytest

from ops.readme import GENERATED, PRINTED, README, current, fenced, main, part, with_part

EMPTY = "".join(f"<!-- {name}:start -->\nstale\n<!-- {name}:end -->\n" for name in GENERATED)


def test_the_readme_is_current():
    """`make generate` brings it up to date."""
    text = README.read_text()
    assert text == current(text)


@pytest.mark.parametrize("name", PRINTED)
def test_the_readme_has_a_place_for_what_a_target_prints(name: str):
    assert part(README.read_text(), name).startswith("```text\n")


def test_generated_parts_go_between_their_markers(tmp_path: Path):
    file = tmp_path / "README.md"
    file.write_text(f"# T\n{EMPTY}end\n")
    main(file)
    text = file.read_text()
    assert "stale" not in text
    assert text.startswith("# T\n")
    assert text.endswith("-->\nend\n")
    for name, content in GENERATED.items():
        assert part(text, name) == content()
    assert current(text) == text


def test_a_part_is_read_as_it_was_put():
    document = with_part(EMPTY, "seed", fenced("a\n  b"))
    assert part(document, "seed") == "```text\na\n  b\n```"
    assert part(document, "outputs") == "stale"


@pytest.mark.parametrize("marker", ["parameters:start", "parameters:end", "seed:end"])
def test_a_document_without_a_marker_is_refused_and_left(tmp_path: Path, marker: str):
    file = tmp_path / "README.md"
    file.write_text(EMPTY.replace(f"<!-- {marker} -->", ""))
    before = file.read_text()
    with pytest.raises(ValueError, match="not both there"):
        main(file)
    assert file.read_text() == before
