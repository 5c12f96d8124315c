"""Steps of `pulumi preview --json` with their property changes; pure functions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

SECRET = "[secret]"  # noqa: S105 - stands for one
UNKNOWN = "[known after apply]"
ABSENT = object()
"""Value of a property that one side lacks; `null` is a value."""

_UNKNOWN_SENTINEL = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's text for a value that it does not know yet (resource.UnknownStringValue)."""

_OPERATIONS = {
    "create": "create",
    "import": "create",
    "update": "update",
    "delete": "delete",
    "replace": "replace",
    # With --show-replacement-steps a replacement has three steps; this one represents all.
    "create-replacement": "replace",
    "import-replacement": "replace",
    "same": "same",
}
_SENSITIVE = re.compile(
    r".*(kubeconfig|password|passphrase|secret(access)?key|privatekey)|token", re.IGNORECASE
)
"""Names of text properties that are masked even if they are not marked as secret."""

PathPart = str | int


@dataclass(frozen=True)
class PropertyChange:
    """Values of one property on both sides."""

    path: str
    """Path in Pulumi's form: `spec.template.spec.containers[0].image`."""

    old: object
    new: object
    """Plain data, `ABSENT`, or one of the texts `SECRET` and `UNKNOWN`."""


@dataclass(frozen=True)
class Step:
    """One resource in a preview."""

    operation: str
    """`create`, `update`, `replace`, `delete` or `same`."""

    urn: str
    type_chain: tuple[str, ...]
    """Type tokens from the outermost component to the resource itself."""

    name: str
    """Logical name."""

    old: Mapping[str, Any]
    """Inputs before; empty for a creation."""

    new: Mapping[str, Any]
    """Inputs after; empty for a deletion."""

    changes: tuple[PropertyChange, ...]
    replace_reasons: tuple[str, ...]
    """Paths whose change needs a replacement."""

    @property
    def type(self) -> str:
        """The resource's own type token."""
        return self.type_chain[-1]

    @property
    def title(self) -> str:
        """Type without its package, and name: `Deployment triton-deployment`."""
        return f"{self.type.rpartition(':')[2]} {self.name}"

    def within(self, component: str) -> bool:
        """Return True if it belongs to a component of this type token."""
        return component in self.type_chain[:-1]


def read_steps(preview: Mapping[str, Any]) -> list[Step]:
    """Return the resources of a preview in the engine's order, without reads and refreshes."""
    steps: list[dict[str, Any]] = preview.get("steps") or []
    return [_step(item) for item in steps if item["op"] in _OPERATIONS]


def _step(item: Mapping[str, Any]) -> Step:
    _, _, qualified = item["urn"].split("::", 2)
    chain, _, name = qualified.partition("::")
    old = _inputs(item.get("oldState"))
    new = _inputs(item.get("newState"))
    operation = _OPERATIONS[item["op"]]
    before: dict[str, Any] = item.get("oldState") or {}
    if operation == "replace" and before.get("retainOnDelete"):
        # Named by its contents: the new object stands beside the old one, which stays.
        operation = "update"
    detailed: dict[str, Any] = item.get("detailedDiff") or {}
    paths: list[str] = []
    if operation in {"update", "replace"}:
        paths = sorted(detailed) if detailed else [path for path, _, _ in _differences(old, new)]
    # A provider may name a property that exists in the real object only.
    real = _inputs(item.get("oldState"), "outputs")
    return Step(
        operation,
        item["urn"],
        tuple(chain.split("$")),
        name,
        old,
        new,
        tuple(PropertyChange(p, _look_up(p, real, old), _look_up(p, new)) for p in paths),
        tuple(item.get("replaceReasons") or ()),
    )


def _inputs(state: Mapping[str, Any] | None, key: str = "inputs") -> dict[str, Any]:
    return (state or {}).get(key) or {}


def _look_up(path: str, *documents: Mapping[str, Any]) -> object:
    """Return a property's value from the last document that has it."""
    found: object = ABSENT
    for document in documents:
        value = _value(document, path)
        if value is not ABSENT:
            found = value
    last = (parse_path(path) or [""])[-1]
    return clean(found, str(last))


def clean(value: object, name: str = "") -> object:
    """Return a property with its unknown values named and its sensitive ones masked."""
    if value == _UNKNOWN_SENTINEL:
        return UNKNOWN
    if isinstance(value, str):
        return SECRET if _SENSITIVE.fullmatch(name) else value
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: clean(item, key) for key, item in items}
    if isinstance(value, list):
        return [clean(item, name) for item in cast("list[object]", value)]
    return value


def _value(document: Mapping[str, Any], path: str) -> object:
    value: object = document
    for part in parse_path(path):
        if value in (SECRET, _UNKNOWN_SENTINEL):
            # One secret or unknown value inside makes the whole one.
            break
        try:
            value = cast("Any", value)[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return value


def parse_path(path: str) -> list[PathPart]:
    """Split a Pulumi property path: `a.b[0]["c.d"]` is a, b, 0, c.d."""
    parts: list[PathPart] = []
    for match in re.finditer(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)', path):
        quoted, index, plain = match.groups()
        if index is not None:
            parts.append(int(index))
        else:
            parts.append(plain if quoted is None else quoted.replace('\\"', '"'))
    return parts


def _differences(old: object, new: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Return the paths at which two values differ; for a provider that names none."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        for key in sorted(before.keys() | after.keys()):
            plain = re.fullmatch(r"[A-Za-z_][\w-]*", key)
            part = f".{key}" if plain else f'["{key}"]'
            yield from _differences(
                before.get(key, ABSENT), after.get(key, ABSENT), (path + part).removeprefix(".")
            )
    elif isinstance(old, list) and isinstance(new, list):
        before, after = cast("list[Any]", old), cast("list[Any]", new)
        for index in range(max(len(before), len(after))):
            sides = [side[index] if index < len(side) else ABSENT for side in (before, after)]
            yield from _differences(sides[0], sides[1], f"{path}[{index}]")
    elif old != new:
        yield path, old, new
