"""One run at a time on one cluster."""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
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
