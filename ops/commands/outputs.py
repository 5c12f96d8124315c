import json
from typing import Annotated

import typer

from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("outputs")
def outputs(
    stack: Stack = "dev",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the stack's outputs."""
    environment = StackEnvironment(stack=stack)
    found = lifecycle.outputs(environment)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        lifecycle.print_outputs(environment, found)
