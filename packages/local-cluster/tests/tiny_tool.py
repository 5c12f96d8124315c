"""A table of one tool that the real Go builds in seconds, for tests of the building itself.

As a program it makes that tool ready: `python tiny_tool.py MODULE CACHE`.
"""

import signal
import sys
from pathlib import Path

from local_cluster.toolchain.api import ensure
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Accepts, GoModule, GoPackage, Probe, Tool

MAIN = """package main

var version = "unset"

func main() { println("tiny", version) }
"""

TAGGED = """//go:build tagged

package main

func init() { version += " tagged" }
"""


def write_module(directory: Path, main: str = MAIN) -> Path:
    """A Go module that requires another, of no dependencies, that lies beside it."""
    inner = directory / "inner"
    inner.mkdir(parents=True)
    (directory / "go.mod").write_text(
        "module test.local/outer\n\ngo 1.24\n\n"
        "require test.local/tiny v1.2.3\n\nreplace test.local/tiny => ./inner\n"
    )
    (directory / "go.sum").write_text("")
    (inner / "go.mod").write_text("module test.local/tiny\n\ngo 1.24\n")
    (inner / "main.go").write_text(main)
    (inner / "tagged.go").write_text(TAGGED)
    return directory


def table(module: Path, build_mib: int = 1, tags: tuple[str, ...] = ()) -> dict[str, Tool]:
    """The tool `tiny`, version 1.2.3, built from `write_module`'s directory."""
    tiny = Tool(
        "tiny",
        "test",
        GoModule(module, build_mib, installed_mib=1),
        "test.local/tiny",
        GoPackage("test.local/tiny", ("main.version={version}",), tags=tags),
        Probe(("--version",), r"^tiny (\d+\.\d+\.\d+)$"),
        Accepts.SAME_MINOR,
    )
    return {"tiny": tiny}


if __name__ == "__main__":
    # Tests that run in the background of a shell inherit an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ensure(table=table(Path(sys.argv[1])), cache=Cache(Path(sys.argv[2])))
    except ToolchainError as error:
        sys.exit(f"error: {error}")
