from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("down")
def down(stack: Stack = "dev") -> None:
    """Stop the local cluster and delete dev's state."""
    lifecycle.down(StackEnvironment(stack=stack))
