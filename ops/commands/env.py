import os
import shlex
import sys

from pulumi import RunError

from ops.cli import Stack, command
from ops.errors import OpsError
from ops.stack import kubectl_environment, lifecycle
from ops.stack.environment import StackEnvironment


@command("env")
def env(stack: Stack = "dev") -> None:
    """Print shell commands that set up bare pulumi and kubectl."""
    environment = StackEnvironment(stack=stack)
    variables = environment.variables()
    stated: dict[str, str | None] = {
        name: variables[name] for name in (*environment.own_variables(), "PATH")
    }
    for name in os.environ.keys() - variables.keys():
        stated[name] = None
    try:
        stated |= kubectl_environment.variables(environment, lifecycle.read_settings(environment))
    except (OpsError, RunError) as error:
        # Pulumi's part is useful even then, for example to find the error.
        print(f"kubectl keeps its cluster: {error}", file=sys.stderr)
    for name, value in sorted(stated.items()):
        print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
