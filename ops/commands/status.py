from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack import status as views
from ops.stack.cluster_spec import cluster_of
from ops.stack.environment import StackEnvironment


@command("status")
def status(
    stack: Stack = "dev",
    once: Annotated[bool, typer.Option("--once", help="Print one view and end.")] = False,
) -> None:
    """Show pods, calls and the autoscaler of the local cluster."""
    environment = StackEnvironment(stack=stack)
    views.show(cluster_of(environment), lifecycle.read_settings(environment), once=once)
