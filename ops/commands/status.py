from typing import Annotated

import typer

from local.cluster import Cluster
from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack import status as views
from ops.stack.environment import StackEnvironment


@command("status")
def status(
    stack: Stack = "dev",
    once: Annotated[bool, typer.Option("--once", help="Print one view and end.")] = False,
) -> None:
    """Show pods, calls and the autoscaler of the local cluster."""
    environment = StackEnvironment(stack=stack)
    views.show(Cluster(environment.state_dir), lifecycle.read_settings(environment), once=once)
