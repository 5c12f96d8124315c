from pathlib import Path
from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.stack.environment import StackEnvironment
from ops.stack.models import check


@command("check-models")
def check_models(
    stack: Stack = "dev",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Model repository; the stack's own if unset.")
    ] = None,
) -> None:
    """Report models that Triton could not serve, offline."""
    raise SystemExit(check(StackEnvironment(stack=stack), folder))
