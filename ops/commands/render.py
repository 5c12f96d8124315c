from pathlib import Path
from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.render.render import render as render_stack
from ops.stack.environment import PROJECT


@command("render")
def render(
    stack: Stack = "dev",
    out: Annotated[Path | None, typer.Option(help="Folder; build/rendered/STACK if unset.")] = None,
) -> None:
    """Write the manifests of a stack as YAML, without a cluster."""
    folder = out or PROJECT / "build" / "rendered" / stack
    count = render_stack(stack, folder)
    print(f"{count} files of {stack} in {folder}")
