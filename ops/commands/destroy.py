import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("destroy", passes_on="pulumi destroy")
def destroy(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Remove the stack; Pulumi asks first, unless it is local."""
    lifecycle.destroy(StackEnvironment(stack=stack), *ctx.args)
