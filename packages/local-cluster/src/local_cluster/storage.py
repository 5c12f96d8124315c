"""The user's cache folder, and writes and locks that survive a crash.

Standard library only: it runs before a virtual environment exists.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """Return the folder in the user's cache that all checkouts share.

    `$XDG_CACHE_HOME` counts only if it is absolute, as its specification says.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "kubemind-inference"


def sync_to_disk(directory: Path) -> None:
    """Flush the files and names of a tree, so that a later rename never outlives them."""
    for path in (*directory.rglob("*"), directory):
        if path.is_symlink():
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(file: Path, waiting: Callable[[str], None]) -> Generator[None]:
    """Hold a lock file; wait for another holder to release it. The holder may delete the file.

    Args:
        file: Lock file, created if it is missing.
        waiting: Called once with the holder's process id, if there is a wait.
    """
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Children do not inherit it, so the lock ends with this process whatever it started.
        with file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                waiting(lock.read().strip())
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_same(file, lock.fileno()):
                continue
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield
            return


def _is_same(file: Path, descriptor: int) -> bool:
    """Tell whether a name still refers to an open file."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
