"""The user's cache: its layout, its lock, and atomic installation into it.

tools/<name>/<version>-<hash>/   one tool; a rename puts it in place, complete or not at all
bin/<hash>/                      links to one set of tools, for PATH
images/<name>-<hash>/            an image of the local node; debian/ and wheels/ hold its parts
go/<version>/, uv/<version>/     Go and uv, if the machine has none
build/<run>/                     scratch folder of one run, deleted when the run ends
logs/<tool>.log                  output of the last build of a tool
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from local_cluster.storage import cache_root, sync_to_disk
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool


class Cache:
    """A cache directory, created at the first installation into it."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def directory_of(self, tool: Tool) -> Path:
        """Return the directory of this version of a tool, which may not exist yet."""
        return self.root / "tools" / tool.name / tool.cache_key

    def find(self, tool: Tool) -> Path | None:
        """Return the tool's file; None if this version has not been built."""
        directory = self.directory_of(tool)
        file = directory / tool.relative_path
        if not file.exists():
            return None
        self.note_use(directory)
        return file

    @staticmethod
    def note_use(directory: Path) -> None:
        """Record the use of a directory, so that it is not pruned; ignore a read-only cache."""
        with suppress(OSError):
            os.utime(directory)

    def log_of(self, tool: Tool) -> Path:
        """Return the log of the last build of a tool."""
        return self.root / "logs" / f"{tool.name}.log"

    def install(self, staged: Path, destination: Path) -> None:
        """Move a finished directory to its place; after a crash it is there whole or not at all."""
        sync_to_disk(staged)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(destination)
        except OSError:
            # Another process has installed the same content meanwhile.
            if not destination.is_dir():
                raise

    def scratch(self) -> Path:
        """Create a directory on the cache's file system, which is deleted with the run."""
        build = self.root / "build"
        build.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=build))

    @property
    def place(self) -> Path:
        """Its directory, or the nearest existing directory above it."""
        return next(path for path in (self.root, *self.root.parents) if path.exists())

    @property
    def free_mib(self) -> int:
        """Free space of its file system, MiB."""
        return shutil.disk_usage(self.place).free // 2**20

    def require_space(self, need_mib: int, what: str = "the missing tools") -> None:
        """Refuse to start a build that does not fit on the disk.

        Args:
            need_mib: Disk that the build takes at its peak.
            what: Object of the build, for the message.

        Raises:
            ToolchainError: The file system has less free space than needed.
        """
        have_mib = self.free_mib
        if have_mib < need_mib:
            raise ToolchainError(
                f"not enough disk to build {what}: {self.root} has {have_mib / 1024:.1f} GiB free "
                f"and the build needs {need_mib / 1024:.1f} GiB at its peak. Free some space, or "
                "set XDG_CACHE_HOME to a directory on a larger disk."
            )

    @contextmanager
    def locked(self, waiting: Callable[[str], None]) -> Generator[int]:
        """Lock the cache for one build, and delete the leftovers of earlier runs.

        Yields the lock's file descriptor. A child that inherits it also holds the lock. A compiler
        that outlives its killed parent keeps the next run out of its directory.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "build.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                waiting(lock.read().strip())
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            self._clear()
            try:
                yield lock.fileno()
            finally:
                self._clear()

    def clear_leftovers(self) -> None:
        """Delete the leftovers of a killed run, unless a run or its child is active."""
        if not any((self.root / "build").glob("*")):
            return
        with (self.root / "build.lock").open("a+") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()

    def _clear(self) -> None:
        for leftover in (self.root / "build").glob("*"):
            shutil.rmtree(leftover, ignore_errors=True)
