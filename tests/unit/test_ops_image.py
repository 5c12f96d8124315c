"""An image and the models beside any cluster. What packs an image is a stand-in here.

Not shown: that an engine loads and runs it; the node of `tests/serving` imports the same archive.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_cluster import toolchain
from local_cluster.serving import archive, images, machine
from ops.__main__ import main

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command on a machine that lacks nothing, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: "")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ops", *arguments])
        return main()

    return run


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """Names of the images that were packed, each with the tools that were asked for."""
    found: list[tuple[str, ...]] = []
    asked: list[str] = []

    def ensure(*names: str) -> dict[str, Path]:
        assert names, "no names are all tools"
        asked.extend(names)
        return {name: tmp_path / name for name in names}

    def write(file: Path, name: str, *_: Any) -> None:
        found.append((name, *asked))
        file.write_text(name)

    monkeypatch.setattr(toolchain, "ensure", ensure)
    monkeypatch.setattr(images.Recipe, "parts", lambda *_: [])
    monkeypatch.setattr(archive, "write", write)
    return found


@pytest.mark.parametrize(
    ("name", "image", "tools"),
    [
        ("triton-cpu", "kubemind.local/triton-cpu:2.51", ()),
        ("envoy", "kubemind.local/envoy:1.40.0", ()),
        ("keda", "kubemind.local/keda:2.20.2", ("keda", "keda-adapter")),
    ],
)
def test_an_image_is_built_once_and_its_path_is_all_that_is_printed(
    run: Run,
    built: list[tuple[str, ...]],
    capsys: pytest.CaptureFixture[str],
    name: str,
    image: str,
    tools: tuple[str, ...],
) -> None:
    printed: list[str] = []
    for _ in range(2):
        assert run("image", name) == 0
        said = capsys.readouterr()
        printed += said.out.splitlines()
    assert said.err == ""
    assert built == [(image, *tools)]
    assert len(printed) == 2
    assert printed[0] == printed[1]
    assert Path(printed[0]).read_text() == image


def test_an_image_that_nobody_has_is_refused_with_the_names_of_those_that_there_are(
    run: Run, built: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("image", "triton") == 1
    assert capsys.readouterr().err == (
        "error: there is no image 'triton'; NAME is one of "
        "pause, coredns, keda, prometheus, envoy, triton-cpu\n"
    )
    assert built == []


def test_a_machine_that_cannot_build_one_gets_a_list_of_missing_prerequisites(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: "root, since it makes mounts")
    assert run("image", "triton-cpu") == 1
    assert capsys.readouterr().err.endswith("which needs root, since it makes mounts\n")


def test_models_are_written_as_triton_reads_them(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not shown: that Triton loads them."""
    folder = tmp_path / "models"
    assert run("models", "--out", str(folder)) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    written = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert written == {"echo/1/model.py", "echo/config.pbtxt"}
    assert "${" not in (folder / "echo/config.pbtxt").read_text()


def test_models_that_lie_elsewhere_are_not_written(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "--stack", "prod") == 1
    assert capsys.readouterr().err == "error: the models of prod are not in the project: s3\n"
