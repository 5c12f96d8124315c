"""The init container that brings models from S3: its real command, against a local S3 server.

The AWS CLI is version 1 here and version 2 in pods, and no test runs its official image: that it
has Python is from Amazon's pages. Permissions and regions are not shown.
"""

import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.models import container
from tests.models.s3_server import S3Server
from tests.unit.declared_triton import S3, pod_of
from tests.unit.test_repository_reader import ENSEMBLE, PYTHON

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]

MODEL = {"m/config.pbtxt": PYTHON.encode(), "m/1/model.py": b""}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server.start() as server:
        yield server


def sync(
    server: S3Server, volumes: Path, uri: str, shell: str = "sh"
) -> tuple[int, str, dict[str, str]]:
    """Exit code, last line on stderr, and what each link leads to."""
    (volumes / "repository").mkdir(exist_ok=True)
    # The script waits between its attempts.
    idle = volumes / "programs/sleep"
    idle.parent.mkdir(exist_ok=True)
    idle.write_text("#!/bin/sh\n")
    idle.chmod(0o755)
    environment = server.environment
    environment["PATH"] = f"{idle.parent}:{environment['PATH']}"
    (init,) = pod_of(modelRepository={**S3, "uri": uri})["initContainers"]
    ran = container.run(init, volumes, shell, environment)
    links = {
        link.name: str(link.readlink().relative_to(volumes))
        for link in (volumes / "models").iterdir()
        if link.is_symlink()
    }
    return ran.returncode, (ran.stderr.strip().splitlines() or [""])[-1], links


@pytest.mark.parametrize("shell", SHELLS)
def test_folders_that_are_empty_and_programs_arrive_as_they_are(server, tmp_path, shell):
    objects = {
        **MODEL,
        "m/triton_python_backend_stub": b"\x7fELF",
        "m/env/bin/activate": b"#!/bin/sh\n",
        "marked/": b"",
        "marked/config.pbtxt": ENSEMBLE.encode(),
        "marked/7/": b"",
        ".git/config": b"",
        "README.md": b"",
    }
    server.put("models", {f"{shell}/deep/{key}": content for key, content in objects.items()})
    code, last, links = sync(server, tmp_path, f"s3://models/{shell}/deep/", shell)
    assert code == 0, last
    assert links == {name: f"repository/{name}" for name in ("m", "marked")}
    assert (tmp_path / "models/marked/7").is_dir()
    assert not (tmp_path / "repository/.git").exists()
    modes = {
        name: stat.S_IMODE((tmp_path / "models/m" / name).stat().st_mode) & 0o111
        for name in ("triton_python_backend_stub", "env/bin/activate", "config.pbtxt")
    }
    assert modes == {
        "triton_python_backend_stub": 0o111,
        "env/bin/activate": 0o111,
        "config.pbtxt": 0,
    }


REFUSED: Mapping[str, tuple[Mapping[str, bytes], str]] = {
    "nothing": ({}, "s3://models/nothing holds no model; it holds nothing"),
    "readme": ({"README.md": b""}, "s3://models/readme holds no model; it holds README.md"),
    "m": (
        {"config.pbtxt": b"", "1/model.py": b""},
        "s3://models/m is the folder of one model, it holds 1, config.pbtxt; name the folder above",
    ),
    "v1": ({"m/config.pbtxt": PYTHON.encode(), "m/v1/model.py": b""}, "v1/m/v1 is no version; re"),
}


@pytest.mark.parametrize("prefix", REFUSED)
def test_a_prefix_without_the_models_keeps_triton_from_starting(server, tmp_path, prefix):
    objects, says = REFUSED[prefix]
    server.put("models", {f"{prefix}/{key}": content for key, content in objects.items()})
    code, last, links = sync(server, tmp_path, f"s3://models/{prefix}")
    assert (code, links) == (1, {})
    assert says in last


def test_a_bucket_that_is_missing_is_named_by_the_cli(server, tmp_path):
    code, last, _ = sync(server, tmp_path, "s3://not-there/x")
    assert code
    assert "The specified bucket does not exist" in last


def test_what_was_mended_in_the_bucket_is_copied_by_the_next_attempt(server, tmp_path):
    """Kubelet runs a container that failed again, in the same pod."""
    server.put("models", {"mended/m/config.pbtxt": PYTHON.encode(), "mended/m/model.py": b""})
    assert sync(server, tmp_path, "s3://models/mended")[0] == 1
    server.put("models", {"mended/m/1/model.py": b""})
    code, _, links = sync(server, tmp_path, "s3://models/mended")
    assert (code, links) == (0, {"m": "repository/m"})
