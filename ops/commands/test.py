import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import psutil
import typer

from local_cluster import toolchain
from local_cluster.serving import machine
from ops.cli import command
from ops.stack.environment import PROJECT

TOOLS = ("cli", "cluster", "checks", "bench")
"""Groups of tools that the tests need on every machine. A test has no time for a build."""

SERVING_TOOLS = "serving"

_SERVING_TESTS = "tests/serving"

_REPORTS = PROJECT / "build" / "tests"

_SLOWEST = "--durations=10"
"""Tests of each part that are named with their times."""

_WAITING = 2
"""Processes beyond one per core: on average a process waits for nearly half of its time."""


@command("test", passes_on="pytest")
def test(ctx: typer.Context) -> None:
    """Build the tools of the tests, then run the tests."""
    groups: list[str] = [*TOOLS]
    missing = machine.missing_prerequisites()
    if missing:
        print(f"left out: {_SERVING_TESTS}, which needs {missing}", file=sys.stderr)
    else:
        groups.append(SERVING_TOOLS)
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
    parts = {"others": [*parallel, f"--ignore={_SERVING_TESTS}"]}
    if not missing:
        parts["serving"] = [_SERVING_TESTS]
    reports = {name: _REPORTS / f"{name}.xml" for name in parts}
    codes: list[int] = []
    for name, arguments in parts.items():
        reports[name].unlink(missing_ok=True)
        codes.append(run(*arguments, _SLOWEST, f"--junit-xml={reports[name]}"))
    # The summary of the first part is far up by now.
    for report in reports.values():
        for line in failures(report):
            print(line, file=sys.stderr)
    raise SystemExit(next(filter(None, codes), 0))


def failures(report: Path) -> Iterator[str]:
    """Yield a line for each test that failed, with the first line of its reason.

    Args:
        report: JUnit XML of a run of pytest.
    """
    if not report.exists():
        yield f"failed: {report.stem}: pytest ended without a report"
        return
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        for kind in ("failure", "error"):
            for found in case.iter(kind):
                reason = (found.get("message") or "").partition("\n")[0]
                yield f"failed: {case.get('classname')}::{case.get('name')}: {reason}"
