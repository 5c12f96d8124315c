"""`make pr-dev`: what a change would do to a dev stack that stands.

The base is checked out by itself and applied to a simulated cluster of its own; then the same
checkout moves on to this one's state and previews it, as somebody who updates a running stack does.
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
"""Where the base is checked out, relative to the project; a fixed place, so that the next run
clears away what a killed one left."""


def pr_dev(base: str, out: Path, project: Path = PROJECT) -> bool:
    """Apply `base` to a simulated cluster, preview this checkout against it, and report.

    Uncommitted changes of tracked files are part of this checkout's state; new files are once they
    are added to the index.

    Args:
        base: Git revision that is taken as deployed.
        out: Folder for `dev.json` (the preview) and `dev.md` (the comment).
        project: The checkout.

    Returns:
        Whether the preview went well; where it failed the comment says why.

    Raises:
        OpsError: `base` is unknown, or cannot be brought up.
    """
    out = out.resolve()
    # A commit of the working tree that no ref keeps; it needs somebody to be its author.
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
    """A worktree at a revision; it and its cluster are gone afterwards."""
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
    # Not `git worktree remove`, which refuses what a killed run left half made.
    shutil.rmtree(worktree, ignore_errors=True)
    _git(project, "worktree", "prune")


def _make(folder: Path, what: str, *arguments: str) -> None:
    if _run_make(folder, *arguments):
        raise OpsError(f"{what} failed; its own message is above")


def _run_make(folder: Path, *arguments: str) -> int:
    # A make that runs this one must not hand its own variables down to another checkout's.
    environment = {
        k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    } | {
        # What differs is what was declared; nothing has to serve for that.
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
