from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("wait")
def wait(stack: Stack = "dev") -> None:
    """Wait until every replica runs what `up` has applied."""
    lifecycle.wait(StackEnvironment(stack=stack))
