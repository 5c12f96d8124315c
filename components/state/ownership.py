"""Ownership of the stack's objects: its identity, the objects in its state, and the gate."""

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi

from components.state.marks import Marks, ObjectName, Owner

ADOPT_VARIABLE = "KUBEMIND_ADOPT"
"""Environment variable of one run: identities, comma-separated, whose objects it takes over."""

UNMARKED = "unmarked"
"""Value in `ADOPT_VARIABLE` for objects without an identity, which earlier releases created."""

_STASH = "pulumi:index:Stash"
_NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
_READ_OUTPUTS = "pulumi:pulumi:readStackOutputs"
_READ_RESOURCES = "pulumi:pulumi:readStackResourceOutputs"
_BACKEND_VARIABLE = "PULUMI_BACKEND_URL"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Evidence by which a stack owns objects of the cluster."""

    identity: str
    """Identity of the stack."""

    stack: str
    """Name of the Pulumi stack."""

    held: frozenset[ObjectName] = frozenset()
    """Objects that the stack's state holds."""

    node_groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """Physical names of the EKS node groups that the stack's state holds, by the logical names."""

    adopts: frozenset[str] = frozenset()
    """Identities whose objects this run takes over; see `ADOPT_VARIABLE`."""


class Ownership:
    """The stack's identity, and the marks on everything that it declares from here on.

    The engine's Stash keeps the first identity that it is given, for the life of the stack.
    """

    def __init__(self, *, applied: bool) -> None:
        """Declare the identity.

        Args:
            applied: True if an engine runs the program; marks name an owner only then.
        """
        self._proposed = str(uuid.uuid4())
        self._stash = pulumi.Stash(
            "identity",
            input={"identity": self._proposed, "owner": _description()},
            # Each run proposes another one. The engine keeps the first; others are no change.
            opts=pulumi.ResourceOptions(ignore_changes=["input"]),
        )
        kept: pulumi.Output[Mapping[str, str]] = self._stash.output
        owner = Owner(identity=kept["identity"], description=kept["owner"])
        self._marks = Marks(owner if applied else None)
        pulumi.runtime.register_stack_transformation(self._marks)
        self._complete = False

    def gate(self, provider: pulumi.Resource) -> None:
        """Make resources of other providers wait for the cluster's provider, and so for `claim`."""
        self._marks.gate = provider

    def complete(self) -> None:
        """End the declarations, so that preflight can search the cluster for the objects."""
        self._complete = True

    @property
    def declared(self) -> frozenset[ObjectName]:
        """Every object that the program declares."""
        return frozenset(self._marks.declared)

    def claim(self) -> pulumi.Output[Claim]:
        """Return the stack's claim, once everything is declared.

        Raises:
            pulumi.RunError: In the output, if the program ended early, or waited for the engine
                before its last declaration. Nothing may be applied then.
        """

        async def claimed(identity: str) -> Claim:
            if not self._complete:
                raise pulumi.RunError("the program did not declare everything; nothing was touched")
            state = await _state(is_new=identity == self._proposed)
            return Claim(
                identity=identity,
                stack=pulumi.get_stack(),
                held=frozenset(held_objects(state.values())),
                node_groups=held_node_groups(state),
                adopts=adopted(os.environ),
            )

        return cast("pulumi.Output[Mapping[str, str]]", self._stash.output).apply(
            lambda kept: claimed(kept["identity"])
        )


def adopted(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the identities that `ADOPT_VARIABLE` names."""
    named = environment.get(ADOPT_VARIABLE, "").split(",")
    return frozenset(filter(None, (identity.strip() for identity in named)))


async def _state(*, is_new: bool) -> Mapping[str, Mapping[str, Any]]:
    """Return the resources that the state held when the run began, by URN.

    The engine reads any stack's outputs for a program, but fails on the resources of one without
    a state: so a stack with a new identity is first asked for its outputs.
    """
    name = "/".join((pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()))
    if is_new:
        seen = await pulumi.runtime.invoke_async(_READ_OUTPUTS, {"name": name})
        if not seen["outputs"]:
            return {}
    read = await pulumi.runtime.invoke_async(_READ_RESOURCES, {"stackName": name})
    return read["outputs"]


def identity_in(resources: Iterable[Mapping[str, Any]]) -> str:
    """Return the identity that a state holds; empty if it holds none."""
    kept = [one["outputs"]["output"]["identity"] for one in resources if one["type"] == _STASH]
    return kept[0] if kept else ""


def held_objects(resources: Iterable[Mapping[str, Any]]) -> list[ObjectName]:
    """Name the Kubernetes objects of a state, by the type and outputs of each resource."""
    objects = [one for one in resources if one["type"].startswith("kubernetes:")]
    named = [(one["type"], _metadata(one)) for one in objects]
    return [ObjectName.of_resource(kind, metadata) for kind, metadata in named if metadata]


def held_node_groups(resources: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Name the EKS node groups of a state: the physical name by the logical one.

    Args:
        resources: Type and outputs of each resource, by URN.
    """
    groups = {urn: one for urn, one in resources.items() if one["type"] == _NODE_GROUP}
    outputs: dict[str, dict[str, Any]] = {
        urn: one.get("outputs") or {} for urn, one in groups.items()
    }
    return {urn.rpartition("::")[2]: one.get("nodeGroupName", "") for urn, one in outputs.items()}


def _metadata(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an object; empty if the resource is not an object."""
    outputs: dict[str, Any] = resource.get("outputs") or {}
    metadata: dict[str, Any] = outputs.get("metadata") or {}
    return metadata if "name" in metadata else {}


def _description() -> str:
    """Describe the stack for users who find its objects in a cluster."""
    name = "/".join((pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()))
    # Without the other parts of a URL: a user, a password, a region.
    backend = os.environ.get(_BACKEND_VARIABLE, "").partition("?")[0].rpartition("@")[2]
    return f"{name} ({backend})" if backend else name
