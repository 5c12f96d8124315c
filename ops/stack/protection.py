"""Protected resources, which `make destroy` does not begin to remove."""

from collections.abc import Mapping
from typing import Any

from ops.errors import OpsError

_NAMED = 12
"""Most resources that the message names; it counts the rest."""


def require_unprotected(stack: str, state: Mapping[str, Any]) -> None:
    """Refuse if the state holds protected resources.

    The engine refuses them too, but `make destroy` changes the state before the engine runs.

    Raises:
        OpsError: It does; names them, and the documented steps.
    """
    names = [
        "{2} {3}".format(*one["urn"].split("::"))
        for one in state.get("resources") or ()
        if one.get("protect")
    ]
    if not names:
        return
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    raise OpsError(
        "\n".join(
            (
                f"{stack} is protected, so nothing was touched. `make destroy` would end its "
                "service and delete:",
                *(f"  {name}" for name in (*names[:_NAMED], *more)),
                "To remove it all the same (docs/operations.md, Tear-down):",
                f'  1. eval "$(make -s env STACK={stack})"',
                f"  2. pulumi state unprotect --all --stack {stack}",
                f"  3. make destroy STACK={stack}",
                "`make up` protects it again.",
            )
        )
    )
