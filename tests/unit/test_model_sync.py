"""The script of the init container that brings models from S3, with a stand-in for the AWS CLI.

The stand-in copies a local folder as S3 does: files alone, without modes, and no empty folder. The
real CLI is in tests/models/test_s3.py; that EKS injects an identity is not shown.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.models import container
from tests.unit.declared_triton import S3, pod_of
from tests.unit.test_repository_reader import ENSEMBLE, PYTHON, write

_AWS = """\
#!/bin/sh
echo "$@" >> "$STANDIN/calls"
case "$1 $2" in
  "s3api list-objects-v2")
    if test "$(cat "$STANDIN/failures")" -gt 0; then
      echo $(($(cat "$STANDIN/failures") - 1)) > "$STANDIN/failures"
      echo "Connect timeout on endpoint URL" >&2
      exit 254
    fi ;;
  "s3 sync")
    (cd "$STANDIN/bucket" && find . -type f) | while read -r file; do
      mkdir -p "$(dirname "$4/$file")"
      cp --no-preserve=mode "$STANDIN/bucket/$file" "$4/$file"
    done ;;
esac
"""

# A file that is not there is one that the loop has not left; the script may not wait for real.
_SLEEP = '#!/bin/sh\necho "slept $1" >> "$STANDIN/calls"\n'

IDENTITIES = {
    "podIdentity": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
    "irsa": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/token"},
}


class Pod:
    """An init container on this machine, and the bucket that it reads."""

    def __init__(self, folder: Path) -> None:
        self.volumes = folder / "volumes"
        self.standin = folder / "standin"
        self.bucket = self.standin / "bucket"
        self.programs = folder / "programs"
        for made in (self.volumes / "repository", self.bucket, self.programs):
            made.mkdir(parents=True)
        for name, text in {"aws": _AWS, "sleep": _SLEEP}.items():
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        self.fails(0)

    def fails(self, calls: int) -> None:
        """Let the next calls fail."""
        (self.standin / "failures").write_text(str(calls))

    def without_python(self) -> None:
        """Leave the programs that an image without Python has."""
        tools = ("sh", "cat", "chmod", "cp", "dirname", "find", "ln", "ls", "mkdir", "rm")
        for name in tools:
            (self.programs / name).symlink_to(str(shutil.which(name)))
        self.path = str(self.programs)

    path = ""

    def run(
        self, identity: str = "podIdentity", *, injected: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run the container as kubelet does."""
        (init,) = pod_of(modelRepository={**S3, "identity": identity})["initContainers"]
        variables = {
            "PATH": self.path or f"{self.programs}:{os.environ['PATH']}",
            "STANDIN": str(self.standin),
            "HOSTNAME": "triton-1",
            **dict.fromkeys((name for one in IDENTITIES.values() for name in one), ""),
            **(IDENTITIES[identity] if injected else {}),
        }
        return container.run(init, self.volumes, str(shutil.which("sh")), variables)

    @property
    def calls(self) -> list[str]:
        """The calls of the stand-ins, each as its first two words."""
        file = self.standin / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [" ".join(line.split()[:2]) for line in lines]


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_pod_without_an_identity_says_so_before_it_asks_aws(pod: Pod, identity: str):
    ran = pod.run(identity, injected=False)
    assert ran.returncode == 1
    reason, now, fix = ran.stderr.splitlines()
    assert reason.startswith("this pod has no AWS identity")
    assert now.startswith("now: neither AWS_CONTAINER_CREDENTIALS_FULL_URI nor AWS_WEB_IDENTITY")
    assert fix.startswith("fix: kubectl delete pod triton-1; if its successor fails too: ")
    assert ("pod identity association" in fix) == (identity == "podIdentity")
    assert pod.calls == []


@pytest.mark.parametrize("identity", IDENTITIES)
def test_models_come_by_either_identity(pod: Pod, identity: str):
    write(pod.bucket, {"m/config.pbtxt": PYTHON, "m/1/model.py": ""})
    ran = pod.run(identity)
    assert ran.returncode == 0, ran.stderr
    assert (pod.volumes / "models/m/1/model.py").exists()
    assert pod.calls == ["s3api list-objects-v2", "s3 sync"]


def test_the_first_call_is_retried(pod: Pod):
    write(pod.bucket, {"m/config.pbtxt": PYTHON, "m/1/model.py": ""})
    pod.fails(4)
    ran = pod.run()
    assert ran.returncode == 0, ran.stderr
    assert pod.calls == ["s3api list-objects-v2", "slept 3"] * 4 + [
        "s3api list-objects-v2",
        "s3 sync",
    ]


def test_a_call_that_never_succeeds_ends_with_the_words_of_the_cli(pod: Pod):
    pod.fails(100)
    ran = pod.run()
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == "Connect timeout on endpoint URL"
    assert pod.calls.count("s3api list-objects-v2") == 5


@pytest.mark.parametrize("python", [True, False], ids=["python", "no-python"])
def test_what_s3_drops_of_an_ensemble_and_of_a_stub_is_there_for_triton(pod: Pod, python: bool):
    """An image without Python links the models unchecked, and must not lose them."""
    write(
        pod.bucket,
        {
            "e/config.pbtxt": ENSEMBLE,
            "e/labels.txt": "",
            "m/config.pbtxt": PYTHON,
            "m/3/model.py": "",
            "m/triton_python_backend_stub": "\x7fELF",
        },
    )
    if not python:
        pod.without_python()
    ran = pod.run()
    assert ran.returncode == 0, ran.stderr
    models = pod.volumes / "models"
    assert sorted(path.name for path in models.iterdir()) == ["e", "m"]
    assert (models / "e/1").is_dir()
    assert (models / "e/config.pbtxt").read_text() == ENSEMBLE
    assert (models / "e/labels.txt").exists()
    # A model with a version of its own gets no other.
    assert sorted(path.name for path in (models / "m").iterdir() if path.is_dir()) == ["3"]
    assert (models / "m/triton_python_backend_stub").stat().st_mode & stat.S_IXUSR


def test_a_second_attempt_without_python_forgets_the_links_of_the_first(pod: Pod):
    pod.without_python()
    write(pod.bucket, {"m/config.pbtxt": PYTHON})
    assert pod.run().returncode == 0
    assert (pod.volumes / "models/m/1").is_dir()
    write(pod.bucket, {"m/2/model.py": ""})
    assert pod.run().returncode == 0
    assert (pod.volumes / "models/m").is_symlink()
