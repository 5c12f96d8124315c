"""Resources and outputs that a program declared under mocks."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Resource:
    """One declared resource, as the engine would have seen it."""

    typ: str
    name: str
    urn: str
    inputs: dict[str, Any]
    """Plain data: secrets unwrapped, whole numbers as int."""
    secrets: frozenset[str]
    """Top-level inputs that are secret."""
    custom: bool
    parent: str
    """URN of the parent; empty for what the program declares at the top."""
    provider: str
    """Name of the explicit provider; empty where there is none."""
    depends_on: frozenset[str]
    """Names of the resources that it waits for, by `depends_on` or by its inputs."""
    protect: bool
    retain_on_delete: bool
    ignore_changes: tuple[str, ...]
    delete_before_replace: bool


@dataclass
class Declared:
    """Everything that a program declared."""

    resources: list[Resource] = field(default_factory=list[Resource])
    exports: dict[str, Any] = field(default_factory=dict[str, Any])
    """The stack's outputs, plain data."""
    secret_exports: frozenset[str] = frozenset()
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Registered outputs of each component, by its logical name."""
    logs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(severity, message) of each call of `pulumi.log`."""

    def all(self, typ: str) -> list[Resource]:
        """Every resource whose type token is `typ` or ends in `:typ`, by logical name."""
        found = [r for r in self.resources if r.typ == typ or r.typ.endswith(f":{typ}")]
        return sorted(found, key=lambda r: r.name)

    def resource(self, typ: str, name: str | None = None) -> Resource:
        """The one resource of the type, with that logical or Kubernetes name where one is given."""
        found = self.all(typ)
        if name is not None:
            found = [r for r in found if name in (r.name, _kubernetes_name(r))]
        assert len(found) == 1, (
            f"{len(found)} resources of type {typ} named {name}; declared: "
            f"{[f'{r.typ} {r.name}' for r in self.resources]}"
        )
        return found[0]

    def one(self, typ: str, name: str | None = None) -> dict[str, Any]:
        """Inputs of the one resource of the type."""
        return self.resource(typ, name).inputs

    @property
    def identities(self) -> list[str]:
        """`type::name` of every resource, with the types of all its parents, as in its real URN."""
        return sorted(r.urn.split("::", 2)[2] for r in self.resources)


def _kubernetes_name(resource: Resource) -> str | None:
    metadata = resource.inputs.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None
