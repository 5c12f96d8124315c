"""The numbers among the parameters, with their bounds, for the tests that go to both ends."""

import types
import typing
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from config.schema.tree import leaves, locate, split
from tests.envoy.harness.tokens import TokenIssuer

_BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("gpuNodes", "karpenter"): {"role": "KarpenterNodeRole"},
    ("inference[0].gateway.tls", "certManager"): {
        "issuer": {"kind": "clusterIssuer", "name": "internal"}
    },
    ("gpuSharing", "mig"): {"profile": "1g.10gb"},
    ("inference[0].triton.modelRepository", "s3"): {"uri": "s3://bucket/models"},
    ("prometheus", "existing"): {
        "address": "http://prometheus.monitoring:9090",
        "namespace": "monitoring",
    },
}
"""Further keys that a section needs, by its path and kind."""

_JWT = "inference[0].gateway.callers.jwt"
_LIMIT = "inference[0].gateway.callers.limit"
_RATE = {"requestsPerSecond": 10}
_ISSUER = TokenIssuer("issuer").config()
_REMOTE = {"uri": "https://issuer.example.com/", "cidrs": ["192.0.2.0/24"]}
_WITHIN: dict[str, dict[str, Any]] = {
    _JWT: {"issuers": [_ISSUER]},
    "inference[0].gateway.tracing": {
        "collector": "otel.observability.svc:4317",
        "collectorNamespace": "observability",
    },
    _LIMIT: _RATE,
}
"""Further keys that a section of one kind needs, by its path."""

_TOLERATION = {"operator": "Exists", "effect": "NoExecute"}
_NEEDED: dict[str | int, dict[str, Any]] = {
    "capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192},
    "launchTemplate": {"id": "lt-0a1b2c3d4e5f60718"},
}
"""Further keys that a section needs, by the key that holds it."""


@dataclass(frozen=True)
class Number:
    """A parameter that holds a number."""

    path: str
    """Its path, of the first item of each list."""

    kind: str
    """`kind` that the section around it must have; empty where there is none."""

    whole: bool
    """True if it is a whole number."""

    low: Any
    """Least value; None where it has none."""

    high: Any
    """Largest value; None where it has none."""

    def __str__(self) -> str:
        return f"{self.path}-{self.kind}" if self.kind else self.path

    def change(self, value: float) -> dict[str, Any]:
        """Return the change of the default parameters that gives it a value."""
        if not self.kind:
            section, _, key = self.path.rpartition(".")
            if section.endswith("tolerations[0]"):
                # The list is empty by default.
                return {section.removesuffix("[0]"): [{**_TOLERATION, key: value}]}
            if section == f"{_LIMIT}.overrides[0]":
                return {_LIMIT: {**_RATE, "overrides": [{"caller": "a", **_RATE, key: value}]}}
            if section in _WITHIN:
                return {section: {**_WITHIN[section], key: value}}
            return {self.path: value}
        union = _union(self.path)
        if union == f"{_JWT}.issuers[0].jwks":
            key = self.path.rpartition(".")[2]
            jwks = {"kind": self.kind, **_REMOTE, key: value}
            return {_JWT: {"issuers": [{**_ISSUER, "jwks": jwks}]}}
        *above, key = split(self.path)[len(split(union)) :]
        inner: Any = {key: value}
        if above:
            inner = {**_NEEDED.get(above[-1], {}), **inner}
        for step in reversed(above):
            inner = [inner] if isinstance(step, int) else {step: inner}
        return {union: {"kind": self.kind, **_BESIDE.get((union, self.kind), {}), **inner}}


def _union(path: str) -> str:
    """Path of the nearest section above that has several kinds."""
    steps = split(path)
    while len(locate(steps).models) < 2:
        steps = steps[:-1]
    return locate(steps).path


def written(number: Number, value: float) -> dict[str, Any]:
    """Return parameters, as a stack file states them, in which the number has a value."""
    ((path, tree),) = number.change(value).items()
    for step in reversed(split(path)):
        tree = [tree] if isinstance(step, int) else {step: tree}
    return tree


def _scalar(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(arm for arm in typing.get_args(annotation) if arm is not type(None))
    return annotation


def _unpacked(field: FieldInfo) -> tuple[Any, list[Any]]:
    """Type and constraints; those of an optional number hide in its first arm."""
    scalar, constraints = _scalar(field.annotation), list(field.metadata)
    if typing.get_origin(scalar) is typing.Annotated:
        scalar, *inner = typing.get_args(scalar)
        for item in inner:
            constraints += item.metadata if isinstance(item, FieldInfo) else [item]
    return scalar, constraints


def _numbers() -> typing.Iterator[Number]:
    for leaf in leaves():
        scalar, constraints = _unpacked(leaf.field)
        if scalar in (int, float):
            lows = [item.ge for item in constraints if isinstance(item, Ge)]
            highs = [item.le for item in constraints if isinstance(item, Le)]
            yield Number(
                leaf.path.replace("[]", "[0]"),
                leaf.kinds,
                scalar is int,
                max(lows, default=None),
                min(highs, default=None),
            )


NUMBERS = tuple(_numbers())
