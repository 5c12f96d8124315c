"""A render's effect on its folder, with any contents and after any interruption."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ops.render import files as render_files
from ops.render.files import rendered_stack
from ops.render.program import RenderError
from ops.render.render import render
from tests.unit.little_program import CONFIG_MAP, contents, write_program


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program with its project and stack file; gives back the project's folder."""
    return partial(write_program, tmp_path / "project")


def test_a_second_render_is_the_same_to_the_byte(program, tmp_path):
    keys = ", ".join(f'"k{i}": "{i}"' for i in range(50))
    project = program(CONFIG_MAP.replace('"key": "value"', keys))
    render("dev", tmp_path / "one", project)
    render("dev", tmp_path / "two", project)
    first = contents(tmp_path / "two")
    render("dev", tmp_path / "two", project)
    assert contents(tmp_path / "one") == first == contents(tmp_path / "two")


def test_what_is_no_longer_declared_goes_and_what_others_put_there_stays(program, tmp_path):
    out = tmp_path / "out"
    render("dev", out, program(CONFIG_MAP))
    (out / "apps" / "notes.txt").write_text("mine")
    (out / "mine").mkdir()
    render("dev", out, program(CONFIG_MAP.replace("settings", "other")))
    assert set(contents(out)) == {
        ".render.json",
        "kustomization.yaml",
        "apps/configmap-other.yaml",
        "apps/notes.txt",
    }
    assert (out / "mine").is_dir()


def test_a_file_that_no_render_wrote_is_never_overwritten(program, tmp_path):
    out = tmp_path / "out"
    (out / "apps").mkdir(parents=True)
    (out / "apps" / "configmap-settings.yaml").write_text("mine")
    with pytest.raises(RenderError, match=r"configmap-settings\.yaml is in the way"):
        render("dev", out, program(CONFIG_MAP))
    assert contents(out) == {"apps/configmap-settings.yaml": b"mine"}


def test_an_interrupted_render_is_seen_and_the_next_one_puts_it_right(
    program, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    render("dev", out, program(CONFIG_MAP))
    whole = contents(out)
    replace = render_files._replace

    def interrupted(path: Path, text: str) -> None:
        if path.name == "kustomization.yaml":
            raise KeyboardInterrupt
        replace(path, text)

    monkeypatch.setattr(render_files, "_replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render("dev", out, program(CONFIG_MAP.replace("settings", "other")))
    with pytest.raises(RenderError, match="holds no complete render"):
        rendered_stack(out)
    monkeypatch.undo()
    render("dev", out, program(CONFIG_MAP))
    assert contents(out) == whole


def test_a_program_that_fails_leaves_the_folder_as_it_was(program, tmp_path):
    out = tmp_path / "out"
    render("dev", out, program(CONFIG_MAP))
    whole = contents(out)
    with pytest.raises(ValueError, match="no"):
        render("dev", out, program(CONFIG_MAP + '\nraise ValueError("no")'))
    assert contents(out) == whole
