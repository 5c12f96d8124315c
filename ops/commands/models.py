from pathlib import Path
from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.stack.environment import StackEnvironment
from ops.stack.models import write_models


@command("models")
def models(
    stack: Stack = "dev",
    out: Annotated[Path | None, typer.Option(help="Folder; build/models if unset.")] = None,
) -> None:
    """Write the stack's model repository as files."""
    print(write_models(StackEnvironment(stack=stack), out))
