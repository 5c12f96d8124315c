import typer

from ops.cli import Stack, command
from ops.stack import serving
from ops.stack.environment import StackEnvironment


@command("infer", passes_on="python -m eventflow infer")
def infer(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Send one call through the gateway of a local cluster."""
    serving.infer(StackEnvironment(stack=stack), *ctx.args)
