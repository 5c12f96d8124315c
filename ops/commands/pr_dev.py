from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command
from ops.pr.dev import pr_dev as run
from ops.stack.environment import PROJECT


@command("pr-dev")
def pr_dev(
    base: Annotated[str, typer.Option(help="Git revision that is taken as deployed.")],
    out: Annotated[Path, typer.Option(help="Folder for dev.json and dev.md.")] = PROJECT
    / "build/pr",
) -> None:
    """Preview this checkout against a base on a simulated cluster."""
    succeeded = run(base, out)
    print(f"preview and comment are in {out}")
    raise SystemExit(0 if succeeded else 1)
