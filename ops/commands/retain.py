from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("retain")
def retain(stack: Stack = "dev") -> None:
    """Make the state keep the models of an earlier release."""
    lifecycle.retain(StackEnvironment(stack=stack))
