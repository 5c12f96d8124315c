import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("preview", passes_on="pulumi preview")
def preview(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Show the changes that `up` would make."""
    lifecycle.preview(StackEnvironment(stack=stack), *ctx.args)
