"""Secrets and ConfigMaps that gateways mount, as a user or an operator keeps them."""

import base64
import binascii
from typing import Any

from components.cluster.preflight.reader import ClusterReader, dig
from components.common.labels import hand_over
from config.checks.stack_paths import StackAt
from config.problem import Problem


class UnusableError(ValueError):
    """The contents of a Secret or a ConfigMap cannot be used; the message says why."""


def read(at: StackAt, kind: str, name: str, reader: ClusterReader) -> dict[str, Any] | None:
    """Return the data of an object as text; empty if it is missing, None if it may not be read."""
    namespace, resource = at.stack.namespace, f"{kind.lower()}s"
    path = f"/api/v1/namespaces/{namespace}/{resource}/{name}"
    found = reader.get(path, f"{kind}s in {namespace}")
    if not found:
        return found
    data: dict[str, str] = dig(found, "data") or {}
    if kind != "Secret":
        return {"": "", **data}
    return {"": "", **{key: _decoded(encoded) for key, encoded in data.items()}}


def under_key(
    at: StackAt, stack: str, path: str, kind: str, name: str, key: str, reader: ClusterReader
) -> Problem | tuple[dict[str, object], dict[str, Any]] | None:
    """Return the parameters that name an object and a key of it, and the object's data.

    A refusal if the object is missing, None if it may not be read.
    """
    keys: dict[str, object] = {at.key(f"{path}.name"): name, at.key(f"{path}.key"): key}
    data = read(at, kind, name, reader)
    if data is None:
        return None
    if not data:
        create = f"create {'secret generic' if kind == 'Secret' else 'configmap'} {name} "
        return missing(at, stack, kind, name, keys, f"{create}--from-file={key}")
    return keys, data


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def value(data: dict[str, Any], key: str) -> str:
    """Return the text under a key.

    Raises:
        UnusableError: There is none.
    """
    if not data.get(key, "").strip():
        raise UnusableError(f"its key {key} is {'empty' if key in data else 'missing'}")
    return data[key]


def missing(
    at: StackAt, stack: str, kind: str, name: str, keys: dict[str, object], create: str
) -> Problem:
    """Refuse an object that does not exist, with the arguments of kubectl that create it."""
    namespace = at.stack.namespace
    return refused(
        keys,
        f"there is no {kind} {name} in {namespace}, and the gateways' pods would wait for it",
        f"create it first: kubectl -n {namespace} {create}. If its namespace does not exist yet: "
        f"kubectl create namespace {namespace}, kubectl label namespace {namespace} "
        f"{hand_over(stack)}",
    )


def refused(keys: dict[str, object], reason: str, fix: str) -> Problem:
    """Refuse an object that the gateways could not use."""
    return Problem(check="preflight", severity="refuse", keys=keys, reason=reason, fix=fix)
