"""Live inference stacks that a run would delete, by the state of the previous run."""

from collections.abc import Iterable, Sequence

from config.base import PROJECT
from config.problem import Problem
from config.sections.inference import InferenceStack
from config.settings import Settings

_TRITON = InferenceStack().deployment_name
"""Ending of the name of every Triton Deployment; the name prefix comes before it."""


def served(objects: Iterable[tuple[str, str, str]]) -> list[str]:
    """Name the inference stacks of a state, each as `namespace/name` of its Triton Deployment.

    Args:
        objects: Kind, namespace and name of each object that the state holds.
    """
    return sorted(
        f"{namespace}/{name}"
        for kind, namespace, name in objects
        if kind == "Deployment" and name.endswith(_TRITON)
    )


def stated(settings: Settings) -> list[str]:
    """Name the inference stacks of the parameters, as `served` does."""
    return [f"{stack.namespace}/{stack.deployment_name}" for stack in settings.inference]


def outages(settings: Settings, before: Sequence[str], *, preview: bool) -> list[Problem]:
    """Find live inference stacks that the parameters no longer state.

    An entry with another namespace or name prefix is another stack: the engine creates that one and
    deletes this one. Tier prod refuses this unless `mayRemove` names the stack. A preview warns.

    Args:
        settings: The parameters.
        before: The stacks that the state holds, by `served`.
        preview: True if this run applies nothing.
    """
    now = stated(settings)
    ended = [name for name in before if name not in now]
    unconfirmed = [name for name in ended if name not in settings.may_remove]
    refused = settings.tier == "prod" and not preview
    problems: list[Problem] = []
    for name in ended:
        is_unconfirmed = name in unconfirmed
        asks = settings.tier == "prod" and is_unconfirmed
        fix = f"restore its entry with its namespace and namePrefix{_or_confirm(settings, name)}"
        problems.append(
            Problem(
                check="outage",
                severity="refuse" if refused and is_unconfirmed else "warn",
                keys={
                    "inference": ", ".join(now),
                    **({"mayRemove": list(settings.may_remove)} if asks else {}),
                },
                reason=(
                    f"OUTAGE: {'`up` deletes' if not asks else '`up` would delete'} the live "
                    f"inference stack {name}, its gateway and its Service; every call to it fails "
                    "from then on"
                ),
                fix=fix if is_unconfirmed else _confirmed(settings),
            )
        )
    stale = [name for name in settings.may_remove if name in now]
    if stale:
        problems.append(
            Problem(
                check="outage",
                severity="warn",
                keys={"mayRemove": list(settings.may_remove)},
                reason=f"{', '.join(stale)} is under inference, and mayRemove allows its removal",
                fix=f"remove {', '.join(stale)} from mayRemove",
            )
        )
    return problems


def _confirmed(settings: Settings) -> str:
    if settings.tier != "prod":
        return "nothing, if no client calls it any more"
    return (
        "if no client calls it any more, lift the protection of its Service, and of its namespace "
        "if no other entry uses it: pulumi state unprotect <URN> (the engine names the URN)"
    )


def _or_confirm(settings: Settings, name: str) -> str:
    if settings.tier != "prod":
        return ", unless no client calls it any more"
    index = len(settings.may_remove)
    return (
        "; or, if no client calls it any more, state its name and run `up` again: pulumi config "
        f"set --path '{PROJECT}:mayRemove[{index}]' {name}"
    )
