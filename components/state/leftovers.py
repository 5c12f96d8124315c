"""Objects that remain in a namespace, once a stack's own objects are deleted."""

from collections.abc import Iterable, Mapping
from typing import Any

from components.common.labels import IDENTITY_LABEL
from components.state.marks import ObjectName
from components.state.objects import Kinds

Contents = Iterable[tuple[ObjectName, Mapping[str, Any]]]

_CONTROLLER_KINDS = frozenset({"Event", "Endpoints", "EndpointSlice", "Lease"})
"""Kinds that controllers write beside other objects."""

_CONTROLLER_OBJECTS = frozenset(
    {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "openshift-service-ca.crt"),
        ("ConfigMap", "istio-ca-root-cert"),
        ("ServiceAccount", "default"),
    }
)
"""Kind and name of objects that controllers write into every namespace."""


def leftovers(contents: Contents) -> list[ObjectName]:
    """Return the objects that carry a stack's identity, such as models kept for old replicas."""
    return [name for name, item in contents if IDENTITY_LABEL in _labels(item)]


def of_others(kinds: Kinds, contents: Contents) -> list[ObjectName]:
    """Return the objects that neither the stack nor Kubernetes itself created.

    An owned object is deleted with its owner, so only the owner counts.
    """
    return sorted(name for name, item in contents if not _is_ignored(kinds, name, item))


def _is_ignored(kinds: Kinds, name: ObjectName, item: Mapping[str, Any]) -> bool:
    metadata = item["metadata"]
    return (
        name.kind in _CONTROLLER_KINDS
        or (name.kind, name.name) in _CONTROLLER_OBJECTS
        or "deletionTimestamp" in metadata
        or IDENTITY_LABEL in _labels(item)
        or item.get("type") == "kubernetes.io/service-account-token"
        or any(kinds.is_namespaced(owner) for owner in metadata.get("ownerReferences") or ())
    )


def _labels(item: Mapping[str, Any]) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}
