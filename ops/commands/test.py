import os
import subprocess
import sys

import psutil
import typer

from local_cluster import toolchain
from local_cluster.serving import machine
from ops.cli import command
from ops.stack.environment import PROJECT

_TOOLS = ("cli", "cluster", "checks")
"""Groups of tools that the tests need on every machine."""

_SERVING_TESTS = "tests/serving"

_WAITING = 2
"""Processes beyond one per core: on average a process waits for nearly half of its time."""


@command("test", passes_on="pytest")
def test(ctx: typer.Context) -> None:
    """Build the tools of the tests, then run the tests."""
    groups: list[str] = [*_TOOLS]
    missing = machine.missing_prerequisites()
    if missing:
        print(f"left out: {_SERVING_TESTS}, which needs {missing}", file=sys.stderr)
    else:
        groups.append("serving")
    environment = {**os.environ, "PATH": toolchain.path_with(toolchain.bin_dir(*groups))}

    def run(*arguments: str) -> int:
        pytest = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(pytest, cwd=PROJECT, env=environment).returncode

    if ctx.args:
        raise SystemExit(run(*ctx.args))
    # Tests that share a cluster share a process (`tests/sharing.py`). The serving tests measure, so
    # they have the machine for themselves.
    processes = (psutil.cpu_count() or 1) + _WAITING
    parallel = ("-n", str(processes), "--dist", "loadgroup", "--no-loadscope-reorder")
    failed = run(*parallel, f"--ignore={_SERVING_TESTS}")
    if not missing:
        failed = run(_SERVING_TESTS) or failed
    raise SystemExit(failed)
