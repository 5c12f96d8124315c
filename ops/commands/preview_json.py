from pathlib import Path
from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.errors import OpsError
from ops.pr.preview_json import write_preview
from ops.stack.environment import StackEnvironment


@command("preview-json")
def preview_json(
    out: Annotated[Path, typer.Option(help="File to write.")], stack: Stack = "dev"
) -> None:
    """Write the preview of a stack as JSON, for a pull request."""
    if not write_preview(StackEnvironment(stack=stack), out):
        raise OpsError(f"the preview of {stack} failed; {out} says why")
