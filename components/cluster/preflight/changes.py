"""Differences between a pod as it was sent and as the API server would store it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from components.cluster.preflight.quantities import amount

_WIDENING = ("hostNetwork", "hostPID", "hostIPC")
"""Fields of a pod that give it access to its node."""

_PLACING = ("nodeSelector", "affinity", "schedulerName", "runtimeClassName")
"""Fields that decide where a pod may go; the API server fills in the scheduler's usual name."""


@dataclass
class Changes:
    """Changes by admission, each a phrase of a message."""

    weakened: list[str] = field(default_factory=list[str])
    """Security settings that are gone or wider."""

    other: list[str] = field(default_factory=list[str])
    """Containers, images, resources, placement and all other stated fields."""


def changes(sent: Mapping[str, Any], got: Mapping[str, Any]) -> Changes:
    """Compare two pod specs; defaults that the API server adds do not count as changes.

    Args:
        sent: `spec` of the pod as sent.
        got: `spec` of the pod in the answer.
    """
    found = Changes()
    for kind in ("initContainers", "containers"):
        _containers(found, kind, sent.get(kind) or (), got.get(kind) or ())
    found.weakened += _differs("securityContext", sent.get("securityContext"), got)
    found.weakened += [
        f"{name} is true" for name in _WIDENING if got.get(name) and not sent.get(name)
    ]
    if sent.get("automountServiceAccountToken") is False:
        found.weakened += _differs("automountServiceAccountToken", False, got)
    for name in _PLACING:
        stated = sent.get(name) or (None if name != "schedulerName" else "default-scheduler")
        if (got.get(name) or None) != stated:
            found.other.append(f"{name} is {got.get(name)}")
    for name, value in sent.items():
        if name not in ("securityContext", "containers", "initContainers", *_PLACING):
            found.other += [
                text
                for text in _differs(name, value, got)
                if name != "automountServiceAccountToken"
            ]
    return found


def _containers(found: Changes, kind: str, sent: Any, got: Any) -> None:
    after = {container["name"]: container for container in got}
    before = {container["name"]: container for container in sent}
    added = [f"{name} ({c['image']})" for name, c in after.items() if name not in before]
    if added:
        found.other.append(f"it adds {kind} {', '.join(added)}")
    for name, container in before.items():
        if name not in after:
            found.other.append(f"it removes the container {name}")
            continue
        for key, value in container.items():
            if key == "resources":
                found.other += _resources(name, value, after[name].get(key) or {})
            elif key == "securityContext":
                found.weakened += _differs(
                    f"{name}.{key}", value, {f"{name}.{key}": after[name].get(key)}
                )
            else:
                found.other += _differs(
                    f"{name}.{key}", value, {f"{name}.{key}": after[name].get(key)}
                )


def _resources(name: str, sent: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[str]:
    for side in ("requests", "limits"):
        before: dict[str, str] = sent.get(side) or {}
        after: dict[str, str] = got.get(side) or {}
        for resource in sorted({*before, *after}):
            old, new = before.get(resource), after.get(resource)
            if old is None or new is None or amount(old) != amount(new):
                yield f"{name}.resources.{side}.{resource} is {new or 'gone'}, not {old or 'unset'}"


def _differs(path: str, sent: Any, holder: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each stated value that differs or is gone."""
    return list(_walk(path, sent, holder.get(path)))


def _walk(path: str, sent: Any, got: Any) -> Iterator[str]:
    if isinstance(sent, dict):
        inner = cast("dict[str, Any]", got) if isinstance(got, dict) else {}
        for key, value in cast("dict[str, Any]", sent).items():
            yield from _walk(f"{path}.{key}", value, inner.get(key))
    elif isinstance(sent, list):
        yield from _walk_list(path, cast("list[Any]", sent), got)
    elif sent != got and not (sent in ("", False, None) and got is None) and not _same(sent, got):
        yield f"{path} is {'gone' if got is None else got}, not {sent}"


def _walk_list(path: str, sent: list[Any], got: Any) -> Iterator[str]:
    """Compare lists: named items by name, others by value; additions do not count."""
    after = cast("list[Any]", got) if isinstance(got, list) else []
    for number, value in enumerate(sent):
        name = _name(value)
        if name is None:
            if value not in after:
                yield f"{path}[{number}] is gone or differs ({value})"
        else:
            match = next((other for other in after if _name(other) == name), None)
            yield from _walk(f"{path}[{name}]", value, match)


def _name(value: Any) -> str | None:
    """Return the key by which the API server distinguishes the items of a list."""
    if not isinstance(value, dict):
        return None
    item = cast("dict[str, Any]", value)
    if "topologyKey" in item:
        return str(item["topologyKey"])
    if "mountPath" in item:
        return str(item["mountPath"])
    return str(item["name"]) if "name" in item else None


def _same(sent: Any, got: Any) -> bool:
    """Return True for two spellings of one quantity, such as 1024Mi and 1Gi."""
    try:
        return amount(sent) == amount(got)
    except ValueError:
        return False
