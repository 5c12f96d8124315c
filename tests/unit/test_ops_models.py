"""`make check-models`: a folder is read without a cluster."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.__main__ import main
from tests.unit.test_repository_reader import ENSEMBLE, MODEL, write

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ops", "check-models", *arguments])
        return main()

    return run


def test_the_stacks_own_models_pass(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert capsys.readouterr().out == "echo  version 1  python\n"


def test_a_folder_is_listed_as_triton_serves_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = 'backend: "python" version_policy { all {} }'
    write(tmp_path, {**MODEL, "m/config.pbtxt": policy, "m/3/model.py": ""})
    write(tmp_path, {"e/config.pbtxt": ENSEMBLE})
    assert run("--dir", str(tmp_path)) == 0
    assert capsys.readouterr().out == "e  version 1  ensemble\nm  version 1, 3  python\n"


def test_every_mistake_is_printed_and_the_exit_code_is_1(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"a/config.pbtxt": "", "a/v1/model.onnx": "", "b/x": ""})
    assert run("--dir", str(tmp_path)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    wrong, foreign = said.err.splitlines()
    assert wrong == f"error: {tmp_path}/a/v1 is no version; rename it to 1, or move it out"
    assert foreign.startswith(f"error: {tmp_path}/b is no model, it holds x")


def test_models_that_lie_elsewhere_cannot_be_read(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--stack", "prod") == 1
    assert capsys.readouterr().err == "error: the models of prod are not in the project: s3\n"
