import subprocess
import sys

import typer

from ops.cli import command
from ops.stack.environment import PROJECT

_FOLDERS = ("tests/unit", "tests/static")


@command("test-quick", passes_on="pytest")
def test_quick(ctx: typer.Context) -> None:
    """Run the tests that need no tool and no cluster."""
    selection = ("-m", "not tools", "--hypothesis-profile", "quick", "-n", "logical")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *selection, *_FOLDERS, *ctx.args], cwd=PROJECT
    )
    raise SystemExit(tests.returncode)
