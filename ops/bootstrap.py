"""Create or update `.venv` from uv.lock, with a uv that is found or installed.

As a program it runs before `.venv` exists, so it imports the standard library and the modules of
`packages/local-cluster` that need no more.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    # The package is not installed yet.
    sys.path.insert(0, str(PROJECT / "packages" / "local-cluster" / "src"))

from local_cluster.storage import locked  # noqa: E402
from local_cluster.uv import ensure_uv, report_wait  # noqa: E402

ENVIRONMENT_MIB = 1_500
"""Disk for `.venv` and for uv's cache of it, rounded up from 660 measured."""

STATE_FOLDER = ".state"
"""Same as in config/base.py, which cannot be imported before `.venv` exists."""

# Settings that would make uv sync another environment than the program runs in.
_UV_OVERRIDES = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT", "UV_NO_DEV", "UV_NO_SYNC")


def sync_environment(uv: Path, project: Path = PROJECT) -> None:
    """Make `.venv` hold exactly the packages of uv.lock, if it does not yet.

    Raises:
        RuntimeError: The sync failed; uv's own output came before.
    """
    venv = project / ".venv"
    with locked(_lock(project), report_wait):
        wanted = _fingerprint(project)
        stamp = venv / "synced-from"
        whole = stamp.is_file() and _runs(venv / "bin" / "python")
        if whole and stamp.read_text() == wanted:
            return
        _require_space(project)
        print("bringing .venv up to date with uv.lock", file=sys.stderr)
        if whole:
            stamp.unlink()
        elif venv.is_dir():
            # Its interpreter is gone, or a sync was interrupted: uv takes a package whose files
            # were half linked for an installed one. uv's cache restores all of it in a second.
            shutil.rmtree(venv)
        environment = {k: v for k, v in os.environ.items() if k not in _UV_OVERRIDES}
        environment["UV_PYTHON_DOWNLOADS"] = "never"
        python = [] if whole else ["--python", sys.executable]
        command = [uv, "sync", "--frozen", "--project", project, *python]
        result = subprocess.run(command, env=environment, stdout=sys.stderr)
        if result.returncode:
            raise RuntimeError("uv sync failed; its output is above")
        new = venv / "synced-from.new"
        new.write_text(wanted)
        new.replace(stamp)


def drop_lock(project: Path) -> None:
    """Remove the lock file of `sync_environment`, once nobody holds it."""
    with locked(_lock(project), report_wait):
        _lock(project).unlink()


def _lock(project: Path) -> Path:
    return project / STATE_FOLDER / "bootstrap.lock"


def _require_space(directory: Path) -> None:
    have_mib = shutil.disk_usage(directory).free // 2**20
    if have_mib < ENVIRONMENT_MIB:
        raise RuntimeError(
            f"not enough disk for the Python environment: {directory} has {have_mib / 1024:.1f} "
            f"GiB free and it needs {ENVIRONMENT_MIB / 1024:.1f} GiB"
        )


def _fingerprint(project: Path) -> str:
    digest = hashlib.sha256()
    # The packages are installed as they lie there; uv.lock does not hold all that they declare.
    members = sorted(project.glob("packages/*/pyproject.toml"))
    for file in (project / "pyproject.toml", project / "uv.lock", *members):
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def _runs(python: Path) -> bool:
    """Tell whether a venv's interpreter still starts, at a version that the project supports."""
    check = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))"
    try:
        result = subprocess.run([python, "-c", check], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def main() -> int:
    """Print uv's path once `.venv` is ready; otherwise one line of error."""
    try:
        uv = ensure_uv()
        sync_environment(uv)
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to continue", file=sys.stderr)
        return 130
    print(uv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
