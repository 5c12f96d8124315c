import subprocess
import sys

import typer

from ops.cli import command
from ops.stack.environment import PROJECT

_FOLDERS = ("tests/unit", "tests/static")


@command("test-quick", passes_on="pytest")
def test_quick(ctx: typer.Context) -> None:
    """Run the tests that need no tool and no cluster."""
    # pytest takes paths and node IDs among its options.
    chosen = any((PROJECT / argument.partition("::")[0]).exists() for argument in ctx.args)
    selection = ("-m", "not tools", "--hypothesis-profile", "quick", "-n", "logical")
    folders = () if chosen else _FOLDERS
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *selection, *folders, *ctx.args], cwd=PROJECT
    )
    raise SystemExit(tests.returncode)
