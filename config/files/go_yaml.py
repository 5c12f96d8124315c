"""YAML as Go's gopkg.in/yaml.v3 decodes it into `any`, which is how Pulumi reads a stack file.

PyYAML composes the nodes (libyaml, of which yaml.v3 is a port); the values of scalars, merged
keys and the limits are yaml.v3's own. PyYAML's constructors are of YAML 1.1: `on` is a boolean
there, and a date an object that JSON does not know.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator
from typing import Any, cast

import yaml

from config.files.go_scalars import PLAIN, json_number, resolve, spelt_float, timestamp

_Loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))

_STANDARD = "tag:yaml.org,2002:"
_VERSION = re.compile(rb"(\s*(#[^\n]*)?\n)*%YAML[ \t]+(?P<version>[0-9.]+)")
_RESOLVED = frozenset({"", "!!str", "!!bool", "!!int", "!!float", "!!null", "!!timestamp"})

_FREE_NODES = 1_000
_FREE_ALIASES = 100
_LOW_NODES, _HIGH_NODES = 400_000, 4_000_000
"""Limits of aliases (yaml.v3, decode.go: `allowedAliasRatio`)."""


class SpeltKey(str):
    """A key that is not text in the file, such as `1:`, as Pulumi spells it."""

    __slots__ = ()


class GoYamlError(ValueError):
    """Text that yaml.v3 does not decode; the message names the line."""


def decode(content: bytes) -> object:
    """Decode the first document of a file, as `yaml.Unmarshal` does.

    Returns:
        None for an empty document. A timestamp is the text that Go's `Time.String` makes of it.

    Raises:
        GoYamlError: The content is not YAML, a key of a mapping is not a scalar or is repeated,
            or JSON cannot express a value (an infinite number).
    """
    if (stated := _VERSION.match(content)) and stated["version"] != b"1.1":
        raise GoYamlError(f"{_at(content[: stated.end()].count(10))}it is not YAML 1.1")
    try:
        loader = _NodeLoader(content)
        node = loader.get_node() if loader.check_node() else None
        return None if node is None else _Decoder().value(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "it is not YAML"
        raise GoYamlError(f"{_at(mark.line) if mark else ''}{said}") from None
    except (yaml.YAMLError, UnicodeError) as error:
        position = int(getattr(error, "position", getattr(error, "start", 0)))
        said = str(getattr(error, "reason", "it is not YAML"))
        raise GoYamlError(f"{_at(content[:position].count(10))}{said}") from None
    except RecursionError:
        raise GoYamlError("it is nested too deeply") from None


class _NodeLoader(_Loader):
    """Composer of nodes that leaves the type of a plain scalar open."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ARG002
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else f"{_STANDARD}str"
        return f"{_STANDARD}{'seq' if kind is yaml.SequenceNode else 'map'}"


class _Decoder:
    def __init__(self) -> None:
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._nodes = 0
        self._aliased = 0
        self._depth = 0

    def value(self, node: yaml.Node) -> Any:
        """Decode a node; a node that was decoded before is reached by an alias."""
        alias = id(node) in self._seen
        if id(node) in self._open:
            raise _error(node, "an anchor's value contains itself")
        self._depth += alias
        self._count(node)
        self._open.add(id(node))
        self._seen.add(id(node))
        try:
            if isinstance(node, yaml.ScalarNode):
                return _scalar(node)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return self._mapping(cast("yaml.MappingNode", node))
        finally:
            self._open.discard(id(node))
            self._depth -= alias

    def _count(self, node: yaml.Node) -> None:
        self._nodes += 1
        self._aliased += self._depth > 0
        if self._nodes <= _FREE_NODES or self._aliased <= _FREE_ALIASES:
            return
        over = (self._nodes - _LOW_NODES) / (_HIGH_NODES - _LOW_NODES)
        if self._aliased / self._nodes > 0.99 - 0.89 * min(1.0, max(0.0, over)):
            raise _error(node, "it contains excessive aliasing")

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        _refuse_twins(node)
        held: dict[str, Any] = {}
        merged: yaml.Node | None = None
        for key, value in node.value:
            if _is_merge(key):
                merged = value
                continue
            held[self._key(key)] = self.value(value)
        for source in _sources(merged):
            for key, value in self._mapping(source).items():
                held.setdefault(key, value)
        return held

    def _key(self, node: yaml.Node) -> str:
        """Return the key as Pulumi spells it: `%v` of the decoded value."""
        self._count(node)
        value = _scalar(cast("yaml.ScalarNode", node), as_key=True)
        if isinstance(value, str):
            return SpeltKey(value) if node.tag == PLAIN and timestamp(node.value) else value
        if isinstance(value, bool):
            return SpeltKey(str(value).lower())
        if isinstance(value, float):
            return SpeltKey(spelt_float(value))
        return SpeltKey("<nil>" if value is None else value)


def _scalar(node: yaml.ScalarNode, *, as_key: bool = False) -> object:
    tag = node.tag
    tag = f"!!{tag.removeprefix(_STANDARD)}" if tag.startswith(_STANDARD) else tag
    if tag == "!!str":
        return node.value
    if tag == "!!binary":
        try:
            data = base64.b64decode(re.sub(r"[\r\n]", "", node.value), validate=True)
        except binascii.Error:
            raise _error(node, "a !!binary value is not base64") from None
        return data.decode(errors="replace")
    if tag not in _RESOLVED or (tag == PLAIN and node.value == "<<"):
        return node.value
    kind, value = resolve(tag, node.value)
    if tag == "!!float" and kind == "!!int":
        kind, value = tag, float(cast("int", value))
    if tag not in (PLAIN, kind):
        raise _error(node, f"cannot decode {kind} {_spelt(node)} as a {tag}")
    if isinstance(value, float) and not as_key:
        if not math.isfinite(value):
            raise _error(node, f"{_spelt(node)} is not a finite number")
        return json_number(value)
    if isinstance(value, int) and not as_key and not -(2**63) <= value < 2**63:
        # Pulumi reads its own JSON back, where only an int64 is exact.
        return json_number(float(value))
    return value


def _refuse_twins(node: yaml.MappingNode) -> None:
    first: dict[tuple[type[yaml.Node], str], yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key, "a key must be text")
        known = first.setdefault((type(key), key.value), key)
        if known is not key:
            line = known.start_mark.line + 1
            raise _error(key, f"the key {key.value} is repeated (first in line {line})")


def _is_merge(key: yaml.Node) -> bool:
    return key.value == "<<" and key.tag in (PLAIN, f"{_STANDARD}merge")


def _sources(merged: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if merged is None:
        return
    for source in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
        if not isinstance(source, yaml.MappingNode):
            raise _error(source, "a merge (<<) takes a mapping or a list of mappings")
        yield source


def _spelt(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else "it"


def _error(node: yaml.Node, why: str) -> GoYamlError:
    return GoYamlError(f"{_at(node.start_mark.line)}{why}")


def _at(line: int) -> str:
    return f"line {line + 1}: "
