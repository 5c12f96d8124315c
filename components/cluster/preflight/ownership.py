"""Objects in the cluster that carry the stack's names and belong to another owner."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.common.labels import (
    IDENTITY_LABEL,
    OWNER_ANNOTATION,
    PART_OF,
    PART_OF_LABEL,
    STACK_LABEL,
    hand_over,
    namespace_labels,
)
from components.state.marks import ObjectName
from components.state.objects import Kinds, UnseenError
from components.state.ownership import ADOPT_VARIABLE, UNMARKED, Claim
from config.inventory import made_namespaces
from config.problem import Problem
from config.settings import Settings

_AT_ONCE = 8
_NAMED = 6
"""Objects that a message names; the others it counts."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An existing object that the stack declares."""

    name: ObjectName
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    immutable: bool

    @property
    def identity(self) -> str | None:
        """Identity of the stack that owns it; None if it has none."""
        return self.labels.get(IDENTITY_LABEL)

    @property
    def is_ours(self) -> bool:
        """True if this program created it, for any stack."""
        return self.labels.get(PART_OF_LABEL) == PART_OF

    @property
    def outlives_its_stack(self) -> bool:
        """True if `destroy` leaves it, so that alone it does not prove that its stack exists."""
        return self.name.kind == "Namespace" or (self.name.kind == "ConfigMap" and self.immutable)


def foreign_objects(
    settings: Settings, kinds: Kinds, declared: Iterable[ObjectName], claim: Claim
) -> list[Problem]:
    """Find declared objects that exist and belong to another owner.

    The provider uses server-side apply, which takes over an existing object of the same name.

    Returns:
        One problem for each owner.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        existing = list(pool.map(partial(_get, kinds), sorted(declared)))
    others: defaultdict[str | None, list[Found]] = defaultdict(list)
    for one in existing:
        if one and not owns(claim, one):
            others[one.identity].append(one)
    return [
        _problem(settings, claim, objects)
        for identity, objects in others.items()
        if not (identity and is_abandoned(kinds, claim, identity, objects))
    ]


def found(name: ObjectName, answer: Mapping[str, Any]) -> Found:
    """Read an object as the API server returns it."""
    metadata = answer["metadata"]
    return Found(
        name=name,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        immutable=bool(answer.get("immutable")),
    )


def owns(claim: Claim, one: Found) -> bool:
    """Return True if the stack owns an object.

    The identity decides. An object without one, from a release before identities or from another
    tool, is the stack's if the state holds it. Labels can also hand a namespace over.
    """
    if one.identity:
        return one.identity == claim.identity or one.identity in claim.adopts
    if one.is_ours and one.labels.get(STACK_LABEL, _stack(claim)) != _stack(claim):
        return False
    handed_over = one.name.kind == "Namespace" or UNMARKED in claim.adopts
    return one.name in claim.held or (one.is_ours and handed_over)


def is_abandoned(kinds: Kinds, claim: Claim, identity: str, objects: Iterable[Found]) -> bool:
    """Return True if a destroyed stack of the same name left the objects.

    `pulumi destroy` leaves namespaces and models; no other object of that identity exists then.
    """
    namespaces = [one for one in objects if one.name.kind == "Namespace"]
    left = namespaces and all(one.outlives_its_stack for one in objects)
    if not left or any(one.labels.get(STACK_LABEL) != _stack(claim) for one in namespaces):
        return False
    try:
        return all(
            found(name, answer).outlives_its_stack
            for one in namespaces
            for name, answer in kinds.contents(one.name.name, f"{IDENTITY_LABEL}={identity}")
        )
    except UnseenError:
        return False


def _stack(claim: Claim) -> str:
    return namespace_labels(claim.stack)[STACK_LABEL]


def _get(kinds: Kinds, name: ObjectName) -> Found | None:
    answer = kinds.get(name)
    return found(name, answer) if "metadata" in answer else None


def _problem(settings: Settings, claim: Claim, objects: list[Found]) -> Problem:
    first = objects[0]
    names = ", ".join(str(one.name) for one in objects[:_NAMED])
    more = f" and {len(objects) - _NAMED} more" if len(objects) > _NAMED else ""
    places = {one.name.namespace or one.name.name for one in objects}
    keys = {key: name for key, name in made_namespaces(settings).items() if name in places}
    return Problem(
        check="ownership",
        severity="refuse",
        keys=keys or {"platform.kind": settings.platform.kind},
        reason=(
            f"the cluster holds objects with names of this stack that are {_whose(first)}: "
            f"{names}{more}. `up` would take them over, and `destroy` would delete them"
        ),
        fix="; or ".join(_ways_out(claim, first, objects)),
    )


def _whose(one: Found) -> str:
    if one.identity:
        return f"of the stack {one.annotations.get(OWNER_ANNOTATION)} (identity {one.identity})"
    stack = one.labels.get(STACK_LABEL)
    if one.is_ours and one.name.kind != "Namespace":
        return "of a stack whose state is elsewhere (an earlier release made them, unmarked)"
    return f"of the Pulumi stack {stack}" if one.is_ours and stack else "not made by this stack"


def _ways_out(claim: Claim, first: Found, objects: list[Found]) -> Iterable[str]:
    yield "name other namespaces"
    if len(objects) == 1 and first.name.kind == "Namespace":
        yield (
            "hand this one over permanently: kubectl label --overwrite namespace "
            f"{first.name.name} {hand_over(claim.stack)}"
        )
    if first.identity or first.is_ours:
        yield (
            "if that stack's state is lost, adopt its objects: "
            f"{ADOPT_VARIABLE}={first.identity or UNMARKED} pulumi up --stack {claim.stack}"
        )
    elif any(one.name.kind != "Namespace" for one in objects):
        yield "delete them"
