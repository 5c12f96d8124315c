"""ConfigMaps that are named by their contents, and the pods that refer to them.

An old ReplicaSet keeps the name that its pods mount. As long as that name means the same contents,
a rollback starts the same pods again, and a pod of the old ReplicaSet that restarts during a
rollout reads its own configuration.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from components.common.pods import Manifest, config_hash

REVISIONS = 5
"""`revisionHistoryLimit` of the Deployments: ReplicaSets, and so contents, that `kubectl rollout
undo` can go back to. Failed rollouts count. Kubernetes keeps ten; each may hold 1 MiB of models."""

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
"""Resource type of a ConfigMap."""

_DIGITS = 8


def content_name(prefix: str, contents: object) -> str:
    """Name an object by its contents.

    Args:
        prefix: Start of the name.
        contents: Any value that JSON can represent.
    """
    return f"{prefix}-{config_hash(contents)[:_DIGITS]}"


def referenced(objects: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of all ConfigMaps that pods or pod templates refer to.

    Args:
        objects: Pods, ReplicaSets and Deployments as the API server returns them.
    """
    return {name for item in objects for name in _names(_pod_spec(item))}


def abandoned(config_maps: Iterable[Mapping[str, Any]], kept: Set[str]) -> list[Mapping[str, Any]]:
    """Return the ConfigMaps named by their contents that may be deleted.

    Args:
        config_maps: ConfigMaps of one workload; those that can change are not named by contents.
        kept: Names that an object refers to, or will refer to.
    """
    return [
        item
        for item in config_maps
        if item.get("immutable") and item["metadata"]["name"] not in kept
    ]


def unprotected(
    resources: Iterable[Mapping[str, Any]], namespace: str, names: set[str], wanted: str
) -> list[str]:
    """Return the names of the ConfigMaps that the engine would delete, according to its state.

    Args:
        resources: Resources of the state.
        namespace: Namespace of the ConfigMaps.
        names: ConfigMaps named by their contents.
        wanted: Name that the program declares; empty if it declares none.
    """
    found = {
        name: item
        for item in resources
        for name in names
        if item["type"] == CONFIG_MAP
        and item.get("id") == f"{namespace}/{name}"
        and not item.get("retainOnDelete")
        and (item.get("delete") or name != wanted)
    }
    return sorted(found)


def owned_by(item: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Return True if an object has this owner and no other."""
    return item["metadata"].get("ownerReferences") == [owner_reference(owner)]


def owner_reference(owner: Mapping[str, Any]) -> dict[str, str]:
    """Build a reference to an owner, with which Kubernetes deletes the owned object.

    Args:
        owner: Deployment as the API server returns it.
    """
    metadata = owner["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _pod_spec(item: Manifest) -> Manifest:
    spec: Manifest = item.get("spec")
    template: Manifest = spec.get("template") if spec else None
    return template.get("spec") if template else spec


def _names(pod: Manifest) -> Iterator[str]:
    for volume in _list(pod, "volumes"):
        yield from _one(volume, "configMap")
        for source in _list(volume.get("projected"), "sources"):
            yield from _one(source, "configMap")
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in _list(pod, kind):
            for source in _list(container, "envFrom"):
                yield from _one(source, "configMapRef")
            for variable in _list(container, "env"):
                yield from _one(variable.get("valueFrom"), "configMapKeyRef")


def _list(holder: Manifest, key: str) -> list[Manifest]:
    found: Manifest = holder.get(key) if holder else None
    return found or []


def _one(holder: Manifest, key: str) -> Iterator[str]:
    reference: Manifest = holder.get(key) if holder else None
    if reference and reference.get("name"):
        yield reference["name"]
