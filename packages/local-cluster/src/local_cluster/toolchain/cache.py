"""The cache outside the checkout: its lay-out, its lock, and how things get into it whole.

tools/<name>/<version>-<hash>/   one tool; appears by a rename, complete or not at all
bin/<hash>/                      links to one resolved set of tools, to put on PATH
images/<name>-<hash>/            an image of the local node; debian/ and wheels/: what it is made of
go/<version>/, uv/<version>/     Go and uv, where the machine has none
build/<run>/                     what one run builds in; gone when the run ends
logs/<tool>.log                  what the last build of a tool said
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
    """A cache directory; made when something is first put in it."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def directory_of(self, tool: Tool) -> Path:
        """Where this version of a tool is, once built."""
        return self.root / "tools" / tool.name / tool.cache_key

    def find(self, tool: Tool) -> Path | None:
        """The tool's file, if this version was built."""
        directory = self.directory_of(tool)
        file = directory / tool.relative_path
        if not file.exists():
            return None
        self.note_use(directory)
        return file

    @staticmethod
    def note_use(directory: Path) -> None:
        """Keep what is used from being pruned, where the cache can be written to."""
        with suppress(OSError):
            os.utime(directory)

    def log_of(self, tool: Tool) -> Path:
        """Where the last build of a tool wrote what it said."""
        return self.root / "logs" / f"{tool.name}.log"

    def install(self, staged: Path, destination: Path) -> None:
        """Move a finished directory to its place, after a crash it is there whole or not at all."""
        sync_to_disk(staged)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(destination)
        except OSError:
            # Another process put the same thing there meanwhile, which does as well.
            if not destination.is_dir():
                raise

    def scratch(self) -> Path:
        """A new directory on the cache's file system, cleared away with the run."""
        build = self.root / "build"
        build.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=build))

    @property
    def place(self) -> Path:
        """Its directory, or the nearest above it that is there."""
        return next(path for path in (self.root, *self.root.parents) if path.exists())

    @property
    def free_mib(self) -> int:
        """Free space of its file system, MiB."""
        return shutil.disk_usage(self.place).free // 2**20

    def require_space(self, need_mib: int, what: str = "the missing tools") -> None:
        """Refuse to start what cannot end.

        Args:
            need_mib: disk that it takes at its peak.
            what: is built.

        Raises:
            ToolchainError: the file system holds less free space than needed.
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
        """Hold the cache for one build; whatever an earlier run left behind is cleared first.

        Yields the lock's file descriptor: a child that inherits it holds the lock too, so a
        compiler that outlives its killed parent keeps the next run out of its directory.
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
        """Delete what a killed run left, unless a run (or its child) is at work now."""
        if not any((self.root / "build").glob("*")):
            return
        with (self.root / "build.lock").open("a+") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()

    def _clear(self) -> None:
        for leftover in (self.root / "build").glob("*"):
            shutil.rmtree(leftover, ignore_errors=True)
