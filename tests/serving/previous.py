"""The previous release of the program, in the place of the present one in a checkout."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.stack.environment import PROJECT
from tests.integration.checkout import Checkout

PREVIOUS = "507d4cd0dd8fcb24cc4c669c69cbf518ed09fd1c"
"""Commit of the previous release: what stacks were provisioned by that `up` now meets."""


_BUILD_SECONDS = 1800
"""Time for its `up` on a machine that does not have the tools which it builds."""


def archive() -> bytes:
    """Pack the previous release's files, from the repository's history."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", PREVIOUS], cwd=PROJECT, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.fail(
            f"the history of this clone does not hold the previous release {PREVIOUS[:7]}, which "
            "an upgrade starts from; a shallow clone gets it by: git fetch --unshallow"
        )
    return packed.stdout


def provision(checkout: Checkout) -> None:
    """`make up` of the previous release, which a checkout holds."""
    checkout.target("up", longest_seconds=_BUILD_SECONDS, STACK=checkout.stack).ok()


@contextmanager
def previous_release(checkout: Checkout) -> Iterator[None]:
    """Hold the previous release in a checkout, with the state and the cluster that it has.

    Its Python environment is the present one where both lock the same packages; where they do not,
    `make` makes one of its own.
    """
    present = checkout.git("rev-parse", "HEAD").strip()
    environment = checkout.path / ".venv"
    checkout.git("rm", "-rqf", "--cached", ".")
    for name in checkout.git("ls-tree", "-r", "--name-only", "HEAD").splitlines():
        (checkout.path / name).unlink(missing_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive())) as files:
        # An example's environment has a link to the Python of its image, which "data" refuses.
        files.extractall(checkout.path, filter="tar")
    shared = environment.readlink() if environment.is_symlink() else None
    own = (checkout.path / "uv.lock").read_bytes() != (PROJECT / "uv.lock").read_bytes()
    if own and shared:
        environment.unlink()
    checkout.git("add", "-A")
    checkout.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "previous release")
    try:
        yield
    finally:
        checkout.git("checkout", "-q", "--force", present)
        _clean(checkout.path)
        if own and shared:
            _remove(environment)
            environment.symlink_to(shared)


def _clean(path: Path) -> None:
    """Remove what only the previous release has; ignored files, as the state is one, stay."""
    subprocess.run(["git", "clean", "-fdq"], cwd=path, check=True)


def _remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=True)
