from ops.cli import Stack, command
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment


@command("cluster")
def cluster(stack: Stack = "dev") -> None:
    """Start the local cluster, or update the running one."""
    lifecycle.start_cluster(StackEnvironment(stack=stack))
