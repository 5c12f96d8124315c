"""Traces of a run that was killed, in a backend that others use too: told, and left alone.

On dev `ops.stack.recovery` removes them. Elsewhere only a person knows if that run is still active.
"""

from collections.abc import Mapping
from typing import Any

_LOCKED = (
    "the stack is currently locked by",
    "Another update is currently in progress",
)
"""Words of a file or bucket backend, and of Pulumi Cloud."""


def lock_advice(stack: str, said: str) -> str | None:
    """Explain a lock that stops a command; None where none does.

    Args:
        stack: Name of the stack.
        said: Error output of the engine.
    """
    if not any(words in said for words in _LOCKED):
        return None
    return (
        f"another run holds the lock of {stack}. If it was killed, release the lock, and run this "
        f"command again, which makes the cluster what the parameters say:\n"
        f'  eval "$(make -s env STACK={stack})"\n'
        f"  pulumi cancel --stack {stack}"
    )


def pending_advice(stack: str, deployment: Mapping[str, Any]) -> str | None:
    """Explain operations that an interrupted run left in the state; None where it left none.

    They stop nothing: `up` refreshes the state, and applies objects whether they exist or not.

    Args:
        stack: Name of the stack.
        deployment: The stack's state.
    """
    pending = [
        f"{operation['type']} {operation['resource']['urn'].rpartition('::')[2]}"
        for operation in deployment.get("pending_operations") or ()
    ]
    if not pending:
        return None
    return (
        f"the state of {stack} names operations of an interrupted run: {', '.join(pending)}. "
        f"`up` works all the same. To clear them:\n"
        f'  eval "$(make -s env STACK={stack})"\n'
        f"  pulumi refresh --clear-pending-creates --stack {stack}"
    )
