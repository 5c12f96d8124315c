import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("refresh", passes_on="pulumi refresh")
def refresh(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Read the real resources into Pulumi's state."""
    lifecycle.refresh(StackEnvironment(stack=stack), *ctx.args)
