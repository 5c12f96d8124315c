import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("up", passes_on="pulumi up")
def up(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Provision the stack; print its resources and outputs."""
    lifecycle.up(StackEnvironment(stack=stack), *ctx.args)
