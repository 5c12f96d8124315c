"""A copy of the program with its own cluster and state, for one benchmark."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from local_cluster.cluster import Cluster
from local_cluster.modes import MODE_VARIABLE, Mode
from ops.stack.environment import PROJECT, StackEnvironment

FOLDER = PROJECT / ".state" / "bench"
"""Folder of the copy; it is fixed, so that the next run deletes the leftovers of a killed one."""

_FOLDERS = ("components", "config", "models")
_FILES = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml", "pyproject.toml", "uv.lock")


@contextmanager
def checkout(mode: Mode, project: Path = FOLDER) -> Generator[StackEnvironment]:
    """Copy the program; remove the copy and its cluster afterwards.

    Args:
        mode: Kind of the copy's local cluster.
        project: Folder of the copy.
    """
    asked = os.environ.get(MODE_VARIABLE)
    os.environ[MODE_VARIABLE] = mode.name
    _clear(project)
    try:
        for name in _FOLDERS:
            shutil.copytree(PROJECT / name, project / name)
        for name in _FILES:
            shutil.copy2(PROJECT / name, project / name)
        (project / ".venv").symlink_to(PROJECT / ".venv")
        yield StackEnvironment(stack="dev", project=project)
    finally:
        _clear(project)
        if asked is None:
            del os.environ[MODE_VARIABLE]
        else:
            os.environ[MODE_VARIABLE] = asked


def _clear(project: Path) -> None:
    Cluster(project / ".state").down()
    shutil.rmtree(project, ignore_errors=True)
