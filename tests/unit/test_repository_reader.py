"""Repositories as people have them: what is served, and what is refused by name.

That Triton agrees is shown in tests/models/test_triton.py.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.model_config import Tensor, parse
from config.repository_reader import Repository

PYTHON = 'backend: "python"'
ENSEMBLE = """
platform: "ensemble"
ensemble_scheduling { step [ { model_name: "m" model_version: -1 } ] }
"""
MODEL = {"m/config.pbtxt": PYTHON, "m/1/model.py": ""}


def write(folder: Path, files: Mapping[str, str | None]) -> None:
    """Write files; None is an empty folder, `-> x` a symbolic link to x."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)


def read(folder: Path, files: Mapping[str, str | None], **options: bool) -> Repository:
    write(folder, files)
    return Repository(folder, "r", **options)


SERVED: dict[str, dict[str, str | None]] = {
    "a file for a backend that Triton recognizes": {"m/1/model.onnx": ""},
    "an older platform": {
        "m/config.pbtxt": 'platform: "tensorrt_plan"',
        "m/1/model.plan": "",
    },
    "version 0": {"m/config.pbtxt": PYTHON, "m/0/model.py": ""},
    "a model whose name is a number": {"7/config.pbtxt": PYTHON, "7/1/model.py": ""},
    "another file": {
        "m/config.pbtxt": f'{PYTHON} default_model_filename: "other.py"',
        "m/1/other.py": "",
    },
    "an older version without its file": {**MODEL, "m/1/model.py": "", "m/0": None},
    "an ensemble with its folder": {**MODEL, "e/config.pbtxt": ENSEMBLE, "e/1": None},
    "an ensemble that lost its folder": {**MODEL, "e/config.pbtxt": ENSEMBLE},
    "folders beside the version": {**MODEL, "m/assets/x": "", "m/.ipynb_checkpoints": None},
    "files and folders beside the models": {
        **MODEL,
        "README.md": "",
        ".git/config": "",
        ".ipynb_checkpoints/m/1/model.py": "",
        "lost+found": None,
        "__pycache__/x.pyc": "",
    },
    "a template that is the model's own": {**MODEL, "m/1/prompt.template": "{% $x %}"},
    "a version folder by a link": {**MODEL, "m/v/7/model.py": "", "m/2": "-> v/7"},
    "a model by a link": {**MODEL, "n": "-> m"},
    "an editor's lock": {**MODEL, "m/.#config.pbtxt": "-> me@host.1:2"},
    "an environment in the model's folder": {
        **MODEL,
        "m/config.pbtxt": PYTHON
        + 'parameters { key: "EXECUTION_ENV_PATH" '
        + 'value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }',
        "m/env.tar.gz": "",
    },
    "a backend of one's own with nothing in its folder": {
        "m/config.pbtxt": 'backend: "mine"',
        "m/1": None,
    },
}


@pytest.mark.parametrize("files", SERVED.values(), ids=SERVED.keys())
def test_what_triton_serves_is_not_refused(tmp_path, files):
    repository = read(tmp_path, files)
    assert repository.problems == []
    assert repository.models


REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "nothing": ({}, "r holds no model; it holds nothing"),
    "a README alone": ({"README.md": ""}, "r holds no model; it holds README.md"),
    "a model's own folder": (
        {"config.pbtxt": PYTHON, "1/model.py": ""},
        "r is the folder of one model, it holds 1, config.pbtxt; name the folder above",
    ),
    "no version folder": (
        {"m/config.pbtxt": PYTHON, "m/model.py": ""},
        "r/m has no version folder, it holds config.pbtxt, model.py; move the model's files",
    ),
    "v1": ({"m/config.pbtxt": PYTHON, "m/v1/model.py": ""}, "r/m/v1 is no version; rename it to 1"),
    "01": ({"m/config.pbtxt": PYTHON, "m/01/model.py": ""}, "r/m/01 is no version; rename it to 1"),
    "2.0": ({**MODEL, "m/2.0/model.py": ""}, "r/m/2.0 is no version; rename it to a number"),
    "a copy of a version": ({**MODEL, "m/2_old/x": ""}, "r/m/2_old is no version"),
    "a date that no 64 bits hold": (
        {"m/config.pbtxt": PYTHON, "m/99999999999999999999/model.py": ""},
        "r/m/99999999999999999999 is no version",
    ),
    "another name": (
        {"m/config.pbtxt": f'{PYTHON} name: "other"', "m/1/model.py": ""},
        'r/m/config.pbtxt has the name "other"; make it "m"',
    ),
    "a folder that is no model": ({**MODEL, "docs/x.md": ""}, "r/docs is no model, it holds x.md"),
    "an empty version": ({**MODEL, "m/2": None}, "r/m/2 has no model.py, it holds nothing"),
    "an empty version of a backend with files": (
        {"m/config.pbtxt": 'backend: "onnxruntime"', "m/1": None},
        "r/m/1 is empty, and the backend onnxruntime loads a file",
    ),
    "no backend": ({"m/1/weights.bin": ""}, "r/m/1 holds weights.bin, by which Triton knows no"),
    "a template of ours": (
        {"m/config.pbtxt.template": PYTHON},
        "r/m is no model, it holds config.pbtxt.template",
    ),
    "brackets": (
        {"m/config.pbtxt": "input [\n{ name: 'x' ", "m/1/model.py": ""},
        "r/m/config.pbtxt cannot be read: line 2: a bracket is not closed",
    ),
    "a quote": (
        {"m/config.pbtxt": 'backend: "python', "m/1/model.py": ""},
        "r/m/config.pbtxt cannot be read: line 1: a quote is not closed",
    ),
    "a version that the policy names": (
        {**MODEL, "m/config.pbtxt": f"{PYTHON} version_policy: {{ specific {{ versions: 3 }} }}"},
        "r/m/3 is missing: version_policy of config.pbtxt names it",
    ),
    "a step that is no model": ({"e/config.pbtxt": ENSEMBLE}, "r/e has a step m, and there is no"),
    "a step of a version that is not served": (
        {**MODEL, "e/config.pbtxt": ENSEMBLE.replace("-1", "3")},
        "r/e has a step m 3, which is not served",
    ),
    "a name for which a python model does not start": (
        {"a b/config.pbtxt": PYTHON, "a b/1/model.py": ""},
        "r/a b has a name that the process of a python model cannot be started with",
    ),
    "an environment that is not there": (
        {
            **MODEL,
            "m/config.pbtxt": PYTHON
            + 'parameters: [{ key: "EXECUTION_ENV_PATH", '
            + 'value: { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }]',
        },
        "has EXECUTION_ENV_PATH $$TRITON_MODEL_DIRECTORY/env.tar.gz, which is not there",
    ),
    "a link to nothing": (
        {**MODEL, "m/2": "-> ../gone"},
        "r/m/2 is a symbolic link to ../gone, wh",
    ),
    "a link to itself": ({**MODEL, "m/x": "-> x"}, "r/m/x is a symbolic link to x, which leads no"),
    "a link out": ({**MODEL, "m/2": "-> /usr"}, "r/m/2 is a symbolic link to /usr, which is outs"),
    "a link around": ({**MODEL, "m/x": "-> ../m"}, "r/m/x is a symbolic link to a folder that hol"),
    "a model by a link to nothing": ({**MODEL, "n": "-> gone"}, "r/n is a symbolic link to gone,"),
}


@pytest.mark.parametrize(("files", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_triton_cannot_serve_is_refused_by_its_path(tmp_path, files, says):
    (problem,) = read(tmp_path, files).problems
    assert says in problem


def test_one_message_names_every_problem(tmp_path):
    files = {"a/v1/model.onnx": "", "b/config.pbtxt": '{"', "b/1/x": "", "c/x": ""}
    assert len(read(tmp_path, files).problems) == 3


def test_the_message_about_a_missing_folder_names_what_lies_above(tmp_path):
    write(tmp_path, {"releases/42/m/1/model.onnx": ""})
    repository = Repository(tmp_path / "releases/43", "claim:/releases/43", mounted=True)
    assert repository.problems == ["claim:/releases/43: no such folder; claim:/releases holds 42"]


def test_on_a_claim_a_link_may_lead_anywhere_and_below_a_version_to_nothing(tmp_path):
    """Environments and caches of others are full of links."""
    files = {"blobs/x": "", "now/m/1/model.onnx": "-> ../../../blobs/x", "now/m/1/env/y": "-> z"}
    write(tmp_path, files)
    assert Repository(tmp_path / "now", "r", mounted=True).problems == []
    assert len(Repository(tmp_path / "now", "r").problems) == 2
    write(tmp_path, {"now/m/1/model.plan": "-> z"})
    assert "leads nowhere" in Repository(tmp_path / "now", "r", mounted=True).problems[0]


def test_without_completion_each_model_needs_a_configuration(tmp_path):
    (problem,) = read(tmp_path, {"m/1/model.onnx": ""}, completes=False).problems
    assert problem == "r/m has no config.pbtxt, and triton.completeModelConfigs is false"


def test_a_name_that_is_no_text_is_printable(tmp_path):
    write(tmp_path, MODEL)
    (tmp_path / "m" / os.fsdecode(b"\xff")).symlink_to("gone")
    (problem,) = Repository(tmp_path, "r").problems
    assert problem.encode().startswith(b"r/m/\\udcff is a symbolic link")


def test_a_model_says_what_it_takes(tmp_path):
    config = """
        name: "m"  # a comment with "quotes" and {
        backend: 'py' "thon", max_batch_size: 8;
        input [
          { name: "A\\"B" data_type: TYPE_FP32 dims: [ -1, 3 ] },
          < name: "C" data_type: TYPE_STRING dims: 1 dims: 2 >
        ]
        version_policy: { all {} }
    """
    (model,) = read(
        tmp_path, {"m/config.pbtxt": config, "m/1/model.py": "", "m/10/model.py": ""}
    ).models
    assert model.backend == "python"
    assert model.max_batch_size == 8
    assert model.inputs == [Tensor('A"B', "TYPE_FP32", (-1, 3)), Tensor("C", "TYPE_STRING", (1, 2))]
    assert model.served == [1, 10]


@pytest.mark.parametrize("text", ["a: ]", "a", "a {", "a: [1", ": 1", "}"])
def test_text_that_is_no_configuration_names_its_line(text):
    with pytest.raises(ValueError, match=r"line 2: "):
        parse(f"\n{text}")
