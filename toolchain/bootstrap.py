"""Finds or installs uv, and brings `.venv` up to date with uv.lock.

Standard library only: it runs before there is anything else.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

UV_VERSION = "0.13.9"
UV_OLDEST = (0, 5)
"""The first minor version whose `uv sync --frozen` reads this lock file's format."""
ENVIRONMENT_MIB = 1_500
"""Disk for `.venv` and for what uv keeps in its cache of it, rounded up from 660 measured."""
# Said again in config/base.py, which cannot be imported before there is an environment.
PROJECT = Path(__file__).resolve().parent.parent
STATE_FOLDER = ".state"


def cache_root() -> Path:
    """The project's directory in the user's cache.

    `$XDG_CACHE_HOME` counts only where it is absolute, as its specification says.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "kubemind-inference"


def sync_to_disk(directory: Path) -> None:
    """Write a tree's files and names through, so that a rename after it never outlives them."""
    for path in (*directory.rglob("*"), directory):
        if path.is_symlink():
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def ensure_uv() -> Path:
    """The path of a usable uv: on PATH, else from the cache, else installed into it.

    Raises:
        RuntimeError: it could not be installed; the text says why.
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
    """Download uv with pip into a venv of its own, and move its one binary into the cache."""
    parent = cache_root() / "uv"
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / "lock", _waiting):
        if uv := _uv_in_cache():
            return uv
        for leftover in parent.glob("new-*"):
            shutil.rmtree(leftover)
        print(f"installing uv {UV_VERSION} into {parent}", file=sys.stderr)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
        try:
            # A venv's own Python may lack ensurepip's wheels; the one it was made from has them.
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


def sync_environment(uv: Path, project: Path = PROJECT) -> None:
    """Make `.venv` hold exactly what uv.lock says, if it does not yet.

    Raises:
        RuntimeError: uv failed; its own output came before.
    """
    venv = project / ".venv"
    with locked(_lock(project), _waiting):
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
            # Its interpreter is gone, or a sync was cut short: uv takes a package whose files were
            # half linked for an installed one. Made anew, it comes from uv's cache in a second.
            shutil.rmtree(venv)
        environment = {k: v for k, v in os.environ.items() if k not in _UV_OVERRIDES}
        environment["UV_PYTHON_DOWNLOADS"] = "never"
        python = [] if whole else ["--python", sys.executable]
        command = [uv, "sync", "--frozen", "--project", project, *python]
        result = subprocess.run(command, env=environment, stdout=sys.stderr)
        if result.returncode:
            raise RuntimeError("uv sync failed; what it said is above")
        new = venv / "synced-from.new"
        new.write_text(wanted)
        new.replace(stamp)


def drop_lock(project: Path) -> None:
    """Remove the lock file of `sync_environment`, after whoever holds it."""
    with locked(_lock(project), _waiting):
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


# Settings that would make uv sync into another environment than the program runs in.
_UV_OVERRIDES = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT", "UV_NO_DEV", "UV_NO_SYNC")


def _fingerprint(project: Path) -> str:
    digest = hashlib.sha256()
    # The packages are installed as they lie there; what else they say is not in uv.lock.
    members = sorted(project.glob("packages/*/pyproject.toml"))
    for file in (project / "pyproject.toml", project / "uv.lock", *members):
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def _runs(python: Path) -> bool:
    """Whether a venv's interpreter still starts, at a version the project takes."""
    check = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))"
    try:
        result = subprocess.run([python, "-c", check], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def _run(command: list[str | Path], temporary: Path) -> None:
    """Run a command whose temporary files, should it be killed, go with those around it."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        tail = "\n".join(result.stdout.strip().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{tail}")


@contextlib.contextmanager
def locked(file: Path, waiting: Callable[[str], None]) -> Generator[None]:
    """Hold a lock file; wait for another holder to end. The holder may delete the file.

    Args:
        file: the lock file, made where it is missing.
        waiting: told the holder's process id, once, if there is a wait.
    """
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Not inherited by children, so the lock ends with this process whatever it started.
        with file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                waiting(lock.read().strip())
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_still(file, lock.fileno()):
                continue
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield
            return


def _is_still(file: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _waiting(holder: str) -> None:
    print(f"waiting for another run that is setting things up (process {holder})", file=sys.stderr)


def main() -> int:
    """Print uv's path once `.venv` is ready; one line of error otherwise."""
    try:
        uv = ensure_uv()
        sync_environment(uv)
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(uv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
