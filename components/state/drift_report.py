"""Fields of an object that another manager changed, by their field managers.

Server-side apply records a manager for every field. A field that the stack stated and that someone
else then changed has lost the stack's manager (https://kubernetes.io/docs/reference/using-api/
server-side-apply/). A change of the parameters is therefore never mistaken for drift.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

ENGINE = "pulumi-kubernetes"
"""Prefix of the Kubernetes provider's field managers, of which each resource has one."""

_WRITTEN = ("managedFields", "resourceVersion", "generation")
"""Metadata that the API server itself changes with every write."""

Fields = Mapping[str, Any]
"""A set of fields as `managedFields` has it (`fieldsV1`)."""

_Managed = Sequence[tuple[str, Fields]]


class Change(NamedTuple):
    """A stated field that has another value in the cluster."""

    path: str
    """Path, such as `spec.replicas` or `spec.template.spec.containers[name=envoy].image`."""

    managers: tuple[str, ...]
    """Managers of the field in the cluster; empty if it has none any more."""

    live: Any
    """Value in the cluster; None if there is none."""

    @property
    def is_foreign(self) -> bool:
        """True if another manager has set the value."""
        return bool(self.managers) and not any(map(is_engine, self.managers))


def is_engine(manager: str) -> bool:
    """Return True if a field manager is the Kubernetes provider's."""
    return manager.startswith(ENGINE)


def changes(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Change]:
    """Return the fields of an object that a server-side apply would change.

    Args:
        live: Object as the API server has it.
        wanted: Answer to a forced server-side dry run of the manifest.
    """
    return list(_walk("", _cleaned(live), _cleaned(wanted), _managed(live)))


def engine_manager(live: Mapping[str, Any]) -> str | None:
    """Return the name of the provider's field manager for an object; None if it has none."""
    return next((manager for manager, _ in _managed(live) if is_engine(manager)), None)


def last_foreign(live: Mapping[str, Any]) -> str | None:
    """Return the other manager that changed an object last; None if there is none."""
    entries = [
        entry
        for entry in _entries(live)
        if not is_engine(entry["manager"]) and not entry.get("subresource")
    ]
    latest = max(entries, key=lambda entry: entry.get("time", ""), default=None)
    return str(latest["manager"]) if latest else None


def _entries(live: Mapping[str, Any]) -> list[dict[str, Any]]:
    return live["metadata"].get("managedFields") or []


def _managed(live: Mapping[str, Any]) -> _Managed:
    return [(entry["manager"], entry.get("fieldsV1") or {}) for entry in _entries(live)]


def _cleaned(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _WRITTEN}
    return {**item, "metadata": metadata, "status": None}


def _walk(path: str, live: Any, wanted: Any, managed: _Managed) -> Iterator[Change]:
    if live == wanted:
        return
    if isinstance(live, dict) and isinstance(wanted, dict):
        ours, theirs = cast("dict[str, Any]", wanted), cast("dict[str, Any]", live)
        for key in sorted(ours.keys() | theirs.keys()):
            below = f"{path}.{key}" if path else key
            yield from _walk(below, theirs.get(key), ours.get(key), _under(managed, f"f:{key}"))
        return
    keys = _list_keys(managed)
    if keys and isinstance(live, list) and isinstance(wanted, list):
        theirs, ours = _by_key(live, keys), _by_key(wanted, keys)  # pyright: ignore[reportUnknownArgumentType]
        for key in sorted(ours.keys() | theirs.keys()):
            fields = json.loads(key)
            label = ",".join(f"{name}={value}" for name, value in fields.items())
            under = _under(managed, f"k:{key}")
            yield from _walk(f"{path}[{label}]", theirs.get(key), ours.get(key), under)
        return
    managers = tuple(dict.fromkeys(manager for manager, _ in managed))
    yield Change(path, managers, live)


def _under(managed: _Managed, key: str) -> _Managed:
    # A field without fields below is managed as a whole (an atomic map or list).
    return [
        (manager, fields.get(key, fields))
        for manager, fields in managed
        if key in fields or not fields
    ]


def _list_keys(managed: _Managed) -> tuple[str, ...]:
    """Return the names of the fields that identify a list's items; empty for an atomic list."""
    found = (json.loads(key[2:]) for _, fields in managed for key in fields if key.startswith("k:"))
    first = next(found, None)
    return tuple(first) if first else ()


def _by_key(items: Iterable[Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        json.dumps({key: item.get(key) for key in keys}, separators=(",", ":")): item
        for item in cast("Iterable[dict[str, Any]]", items)
    }
