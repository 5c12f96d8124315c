from typing import Annotated

import typer

from ops.cli import command
from ops.stack.image import archive


@command("image")
def image(name: Annotated[str, typer.Argument(help="Name of the image.")]) -> None:
    """Build an image of the local node; print its archive's path."""
    print(archive(name))
