from ops.cli import Stack, command
from ops.stack.drift import drift as find_drift
from ops.stack.environment import StackEnvironment


@command("drift")
def drift(stack: Stack = "dev") -> None:
    """Compare cluster and state; exit with 2 if they differ."""
    found = find_drift(StackEnvironment(stack=stack))
    for line in found:
        print(line)
    print(f"{len(found)} differences; `make up` takes them back" if found else "no drift")
    raise SystemExit(2 if found else 0)
