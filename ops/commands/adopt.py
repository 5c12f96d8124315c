import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("adopt", passes_on="pulumi up")
def adopt(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Take over the objects of a stack whose state is lost."""
    lifecycle.adopt(StackEnvironment(stack=stack), *ctx.args)
