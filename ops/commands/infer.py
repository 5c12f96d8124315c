import typer

from ops.cli import Stack, command
from ops.stack import lifecycle, serving
from ops.stack.environment import StackEnvironment


@command("infer", passes_on="python -m eventflow infer")
def infer(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Send one call through the gateway of a local cluster."""
    environment = StackEnvironment(stack=stack)
    serving.infer(environment, lifecycle.read_settings(environment), *ctx.args)
