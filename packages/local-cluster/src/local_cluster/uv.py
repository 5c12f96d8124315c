"""uv: the user's if it is new enough, else one installed into the cache.

Standard library only: it runs before a virtual environment exists.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local_cluster.storage import cache_root, locked, sync_to_disk

UV_VERSION = "0.13.9"
"""Version that is installed where the user has none."""

UV_OLDEST = (0, 5)
"""First minor version whose `uv sync --frozen` reads the format of the lock file."""


def ensure_uv() -> Path:
    """Return the path of a usable uv: on PATH, else in the cache, else installed into it.

    Raises:
        RuntimeError: The installation failed; the text gives the reason.
    """
    return _uv_on_path() or _uv_in_cache() or _install_uv()


def _uv_on_path() -> Path | None:
    root = cache_root()
    for directory in os.get_exec_path():
        candidate = Path(directory, "uv")
        # The cache's own links may be on PATH; they are not the user's choice.
        if candidate.is_relative_to(root) or not os.access(candidate, os.X_OK):
            continue
        if (version := _version_of(candidate)) and version[:2] >= UV_OLDEST:
            return candidate.absolute()
    return None


def _version_of(uv: Path) -> tuple[int, ...]:
    try:
        result = subprocess.run([uv, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", result.stdout)
    return tuple(map(int, match.groups())) if match else ()


def _uv_in_cache() -> Path | None:
    uv = cache_root() / "uv" / UV_VERSION / "bin" / "uv"
    return uv if uv.exists() else None


def _install_uv() -> Path:
    """Install uv with pip into a venv of its own, and move its one binary into the cache."""
    parent = cache_root() / "uv"
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / "lock", report_wait):
        if uv := _uv_in_cache():
            return uv
        for leftover in parent.glob("new-*"):
            shutil.rmtree(leftover)
        print(f"installing uv {UV_VERSION} into {parent}", file=sys.stderr)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
        try:
            # A venv's own Python may lack ensurepip's wheels; its base interpreter has them.
            python = getattr(sys, "_base_executable", sys.executable)
            _run([python, "-m", "venv", new / "venv"], new)
            pip = [new / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
            _run([*pip, "install", "--quiet", "--no-cache-dir", f"uv=={UV_VERSION}"], new)
            binary = new / UV_VERSION / "bin" / "uv"
            binary.parent.mkdir(parents=True)
            # uv's console script is the native binary itself, so it needs nothing of the venv.
            (new / "venv" / "bin" / "uv").rename(binary)
            sync_to_disk(new / UV_VERSION)
            (new / UV_VERSION).rename(parent / UV_VERSION)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    if uv := _uv_in_cache():
        return uv
    raise RuntimeError(f"uv {UV_VERSION} was installed but is not in {parent}")


def _run(command: list[str | Path], temporary: Path) -> None:
    """Run a command whose temporary files go with its folder, should it be killed."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        tail = "\n".join(result.stdout.strip().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{tail}")


def report_wait(holder: str) -> None:
    """Print that another process holds the lock."""
    print(f"waiting for another run that is setting things up (process {holder})", file=sys.stderr)
