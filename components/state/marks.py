"""Marks on every Kubernetes object that the program declares, and a record of these objects."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi

from components.common.labels import IDENTITY_LABEL, OWNER_ANNOTATION, PATCH_FORCE

_PREFIX = "kubernetes:"
_ELSEWHERE = "aws:"

_Marked = Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True, order=True)
class ObjectName:
    """Name of one object in a cluster; the same object in any version of its API."""

    group: str
    """API group, such as `apps`; empty for the core group."""

    kind: str
    """Kind, such as `Deployment`."""

    namespace: str
    """Namespace; empty for a cluster-scoped kind."""

    name: str
    """Name."""

    version: str = field(compare=False)
    """Version of the group, such as `v1`."""

    @property
    def api_version(self) -> str:
        """Group and version, such as `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @classmethod
    def of(cls, api_version: str, kind: str, metadata: Mapping[str, Any]) -> "ObjectName":
        """Name the object with these metadata."""
        group, _, version = api_version.rpartition("/")
        return cls(
            group=group,
            version=version,
            kind=kind,
            namespace=metadata.get("namespace") or "",
            name=metadata["name"],
        )

    @classmethod
    def of_resource(cls, type_token: str, metadata: Mapping[str, Any]) -> "ObjectName":
        """Name the object of a resource.

        Args:
            type_token: Pulumi's type, such as `kubernetes:apps/v1:Deployment`.
            metadata: Metadata of the object.
        """
        _, api_version, kind = type_token.split(":")
        return cls.of(api_version.removeprefix("core/"), kind, metadata)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else self.short

    @property
    def short(self) -> str:
        """Kind and name, for a message that already has the namespace."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A stack, as its objects name it."""

    identity: pulumi.Input[str]
    """Identity; unique, and kept in the stack's state."""

    description: pulumi.Input[str]
    """Organization, project, stack and, if known, backend."""


class Marks:
    """A transformation that puts the owner on each object's metadata.

    Pod templates and selectors stay as they are, so that no mark rolls a pod. Another mark on every
    object lets `up` take its stated fields back from other field managers. The objects of a chart
    belong to Helm, and have no marks.
    """

    def __init__(self, owner: Owner | None = None) -> None:
        self._labels: dict[str, pulumi.Input[str]] = {}
        self._annotations: dict[str, pulumi.Input[str]] = dict(PATCH_FORCE)
        if owner:
            self._labels[IDENTITY_LABEL] = owner.identity
            self._annotations[OWNER_ANNOTATION] = owner.description
        self.declared: set[ObjectName] = set()
        """Every object that the program has declared so far."""
        self.gate: pulumi.Resource | None = None
        """The cluster's provider, which waits for the check of these objects' owners."""

    def __call__(
        self, args: pulumi.ResourceTransformationArgs
    ) -> pulumi.ResourceTransformationResult | None:
        """Mark one resource, if it is a Kubernetes object.

        Raises:
            TypeError: The object's metadata is unknown when it is declared, so that preflight
                cannot search for the object before the run changes anything.
        """
        if args.type_.startswith(_ELSEWHERE) and self.gate:
            # Roles and node groups do not use the provider; a refused run must not make them.
            later = pulumi.ResourceOptions(depends_on=[self.gate])
            opts = pulumi.ResourceOptions.merge(args.opts, later)
            return pulumi.ResourceTransformationResult(args.props, opts)
        props: dict[str, Any] = dict(args.props)
        if not args.type_.startswith(_PREFIX) or "metadata" not in props:
            return None
        # Imported here: a command that only reads a state need not pay for the SDK (0.5 s).
        from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

        metadata: Any = copy.copy(props["metadata"]) or ObjectMetaArgs()
        if not isinstance(metadata, ObjectMetaArgs):
            raise TypeError(f"{args.name}: metadata must be ObjectMetaArgs")
        # For an object without a name, Pulumi chooses an unused one.
        if metadata.name:
            if not isinstance(metadata.name, str) or not isinstance(metadata.namespace or "", str):
                raise TypeError(f"{args.name}: name and namespace must be plain values")
            plain = {"name": metadata.name, "namespace": metadata.namespace}
            self.declared.add(ObjectName.of_resource(args.type_, plain))
        metadata.labels = {**cast(_Marked, metadata.labels or {}), **self._labels}
        metadata.annotations = {**cast(_Marked, metadata.annotations or {}), **self._annotations}
        return pulumi.ResourceTransformationResult({**props, "metadata": metadata}, args.opts)
