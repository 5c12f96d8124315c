"""Traces of a killed run in a shared backend: reported, and not removed.

On dev `ops.stack.recovery` removes them. Elsewhere only a person knows if the run is active.
"""

from collections.abc import Mapping
from typing import Any

_LOCKED = (
    "the stack is currently locked by",
    "Another update is currently in progress",
)
"""Messages of a file or bucket backend, and of Pulumi Cloud."""


def lock_advice(stack: str, error_output: str) -> str | None:
    """Explain the lock that stopped a command; return None if no lock did.

    Args:
        stack: Name of the stack.
        error_output: Standard error of the engine.
    """
    if not any(words in error_output for words in _LOCKED):
        return None
    return (
        f"another run holds the lock of {stack}. If that run was killed, release the lock and run "
        f"this command again; it applies the parameters completely:\n"
        f'  eval "$(make -s env STACK={stack})"\n'
        f"  pulumi cancel --stack {stack}"
    )


def pending_advice(stack: str, deployment: Mapping[str, Any]) -> str | None:
    """Explain the operations that an interrupted run left in the state; return None if none.

    They stop nothing: `up` refreshes the state, and applies objects that exist or do not.

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
        f"`up` works nevertheless. To clear them:\n"
        f'  eval "$(make -s env STACK={stack})"\n'
        f"  pulumi refresh --clear-pending-creates --stack {stack}"
    )
