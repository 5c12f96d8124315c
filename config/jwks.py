"""JSON web key sets (RFC 7517), as far as Envoy's jwt_verify_lib loads their keys."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, cast

_MEMBERS = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",), "oct": ("k",)}
"""Types of keys, each with the members that hold it (RFC 7518, section 6; RFC 8037)."""

_EC_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_OKP_BYTES = {"Ed25519": 32}
_MIN_RSA_BYTES = 2048 // 8


def jwks_fault(text: str, *, public: bool) -> str | None:
    """Return the reason for which a key set would admit no token; None if a key of it can.

    Envoy starts with a key set that it cannot read, and then refuses every token. It skips the keys
    that it does not know.

    Args:
        text: The key set, JSON.
        public: True if others than the gateway can read it.
    """
    try:
        found: object = json.loads(text)
    except ValueError:
        return "it is not JSON"
    keys = cast("Mapping[str, object]", found).get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys:
        return 'it has no list "keys" with a key'
    listed = cast("list[object]", keys)
    if any(isinstance(key, dict) and "d" in key for key in listed):
        return "it holds a private key, and gateways need public keys alone"
    if public and any(isinstance(key, dict) and "k" in key for key in listed):
        return "it holds a symmetric key, which is a secret: put it into a Secret (kind secret)"
    faults = [_key_fault(key) for key in listed]
    return None if None in faults else f"it has no key that Envoy loads: {faults[0]}"


def _key_fault(key: object) -> str | None:
    if not isinstance(key, dict):
        return "a key is not an object"
    members = cast("dict[str, Any]", key)
    kind = members.get("kty")
    if kind not in _MEMBERS:
        return f'"kty" is not one of {", ".join(_MEMBERS)}'
    for name in _MEMBERS[kind]:
        size = _size(members.get(name))
        if not size:
            return f'"{name}" of the {kind} key is not base64url'
        wanted = _wanted(kind, name, members.get("crv"))
        if wanted is None:
            return f'"crv" of the {kind} key is not one of {", ".join(_curves(kind))}'
        least, most = wanted
        if not least <= size <= most:
            return f'"{name}" of the {kind} key has {size} bytes, and Envoy loads from {least}'
    return None


def _curves(kind: str) -> Mapping[str, int]:
    return _EC_BYTES if kind == "EC" else _OKP_BYTES


def _wanted(kind: str, name: str, curve: object) -> tuple[int, int] | None:
    """Return the least and most bytes of a member; None for a curve that Envoy does not know."""
    if kind in ("EC", "OKP"):
        exact = _curves(kind).get(str(curve))
        return None if exact is None else (exact, exact)
    return (_MIN_RSA_BYTES if name == "n" else 1), 1 << 20


def _size(value: object) -> int:
    """Return the number of bytes that a base64url text stands for; 0 if it is none."""
    if not isinstance(value, str):
        return 0
    try:
        raw = value.encode("ascii")
        padded = raw + b"=" * (-len(raw) % 4)
        return len(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error):
        return 0
