"""`make pr-dev`: effect of a change on a provisioned dev stack.

The base is checked out separately and applied to a simulated cluster of its own. Then the same
checkout moves to this one's commit and previews it, as a user who updates a running stack does.
"""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from config.base import STATE_FOLDER
from local_cluster.modes import MODE_VARIABLE, SIMULATED
from ops.errors import OpsError
from ops.stack.environment import DEV_STACK, PROJECT

WORKTREE = Path(STATE_FOLDER, "pr-dev")
"""Folder of the base's checkout, relative to the project. It is fixed, so that the next run deletes
the leftovers of a killed one."""


def pr_dev(base: str, out: Path, project: Path = PROJECT) -> bool:
    """Apply `base` to a simulated cluster, preview this checkout against it, and report.

    Uncommitted changes of tracked files are included; new files are if they are in the index.

    Args:
        base: Git revision that is taken as deployed.
        out: Folder for `dev.json` (the preview) and `dev.md` (the comment).
        project: The checkout.

    Returns:
        True if the preview succeeded; otherwise the comment has the reason.

    Raises:
        OpsError: `base` is unknown, or its `up` failed.
    """
    out = out.resolve()
    # A commit of the working tree without a ref; git wants an author for it.
    author = ("-c", "user.name=pr-dev", "-c", "user.email=pr-dev@localhost")
    head = _git(project, *author, "stash", "create").strip() or "HEAD"
    head = _git(project, "rev-parse", head).strip()
    with _checked_out(project, base) as worktree:
        _make(worktree, f"up of {base}", "up", f"STACK={DEV_STACK}")
        _git(worktree, "checkout", "--quiet", "--detach", head)
        preview = out / f"{DEV_STACK}.json"
        went_well = _run_make(worktree, "preview-json", f"STACK={DEV_STACK}", f"OUT={preview}") == 0
        _make(
            worktree,
            "the report",
            "pr-comment",
            f"IN={preview}",
            f"OUT={preview.with_suffix('.md')}",
        )
    return went_well


@contextmanager
def _checked_out(project: Path, revision: str) -> Generator[Path]:
    """Yield a worktree at a revision; remove it and its cluster afterwards."""
    worktree = project / WORKTREE
    _clear(project, worktree)
    try:
        _git(project, "worktree", "add", "--quiet", "--detach", str(worktree), revision)
        yield worktree
    finally:
        _clear(project, worktree)


def _clear(project: Path, worktree: Path) -> None:
    if (worktree / "Makefile").exists():
        _run_make(worktree, "down", f"STACK={DEV_STACK}")
    # `git worktree remove` refuses the half-made worktree of a killed run.
    shutil.rmtree(worktree, ignore_errors=True)
    _git(project, "worktree", "prune")


def _make(folder: Path, what: str, *arguments: str) -> None:
    if _run_make(folder, *arguments):
        raise OpsError(f"{what} failed; its own message is above")


def _run_make(folder: Path, *arguments: str) -> int:
    # The variables of the make that runs this one are not for another checkout.
    environment = {
        k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    } | {
        # A comparison of declarations needs no pods that run.
        MODE_VARIABLE: SIMULATED.name
    }
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, check=False).returncode


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise OpsError(f"git {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result.stdout
