"""The init container that hands a claim's models to Triton: its real command, in real shells.

That Triton follows the links is shown in tests/models/test_triton.py.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.models import container
from tests.unit.declared_triton import pod_of
from tests.unit.test_repository_reader import ENSEMBLE, MODEL, PYTHON, write

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


def check(
    tmp_path: Path, files: Mapping[str, str | None], path: str = "", **how: Any
) -> tuple[int, str, dict[str, str]]:
    """Exit code, last line on stderr, and what each link leads to."""
    write(tmp_path / "repository", files)
    (init,) = pod_of(modelRepository={"kind": "pvc", "claim": "c", "path": path})["initContainers"]
    ran = container.run(init, tmp_path, **how)
    links = {
        str(link.relative_to(tmp_path / "models")): str(link.readlink().relative_to(tmp_path))
        for link in (tmp_path / "models").rglob("*")
        if link.is_symlink()
    }
    return ran.returncode, (ran.stderr.strip().splitlines() or [""])[-1], links


@pytest.mark.parametrize("shell", SHELLS)
def test_models_alone_are_linked_and_an_ensemble_gets_its_folder(tmp_path, shell):
    files = {**MODEL, "e/config.pbtxt": ENSEMBLE, ".git/x": "", "lost+found": None, "README": ""}
    for _ in range(2):  # A container may run again in the same pod.
        code, _, links = check(tmp_path, files, shell=shell)
        assert code == 0
        assert links == {"m": "repository/m", "e/config.pbtxt": "repository/e/config.pbtxt"}
        assert (tmp_path / "models/e/1").is_dir()


@pytest.mark.parametrize(
    ("files", "path", "says"),
    [
        ({"x": None}, "", "c:/x is no model, it holds nothing; move it out of the repository"),
        ({"lost+found": None}, "", "c:/ holds no model; it holds lost+found"),
        ({"README.md": ""}, "", "c:/ holds no model; it holds README.md"),
        ({"a/m/1/model.onnx": ""}, "b", "c:/b: no such folder; c: holds a"),
        (
            {**MODEL, "m/triton_python_backend_stub": ""},
            "",
            "c:/m/triton_python_backend_stub is not executable; chmod +x",
        ),
        (
            {"m/config.pbtxt": PYTHON, "m/v1/model.py": ""},
            "",
            "c:/m/v1 is no version; rename it to 1, or move it out",
        ),
    ],
)
def test_a_claim_without_the_models_keeps_triton_from_starting(tmp_path, files, path, says):
    code, last, links = check(tmp_path, files, path)
    assert (code, last, links) == (1, says, {})


@pytest.mark.parametrize("shell", SHELLS)
def test_an_image_without_python_links_the_models_unread(tmp_path, shell):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ln", "ls", "rm"):
        (programs / name).symlink_to(shutil.which(name) or "")
    how = {"shell": shutil.which(shell), "environment": {"PATH": str(programs)}}
    code, last, _ = check(tmp_path, {"README": ""}, **how)
    assert (code, last) == (1, "c:/ holds no model")
    code, last, links = check(tmp_path, {"m/1/x": "", ".git/x": ""}, **how)
    assert (code, links) == (0, {"m": "repository/m"})
    assert last == "this image has no python3: the models are not checked"
