"""Spelling of durations, messages and addresses in protobuf's JSON form."""

from typing import Any

Json = dict[str, Any]
"""One protobuf message in JSON form."""

MAX_INT32 = 2**31 - 1
"""Largest HTTP/2 window, and Envoy's largest window setting."""

NO_LIMIT = 2**32 - 1
"""Largest uint32; no counter of Envoy reaches it."""

_TYPES = "type.googleapis.com/envoy."


def seconds(value: float) -> str:
    """Spell a duration of `value` seconds as protobuf's JSON form does, to the microsecond."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def typed(message: str, **fields: Any) -> Json:
    """Build a `google.protobuf.Any` of an Envoy message, named without its `envoy.` prefix."""
    return {"@type": _TYPES + message, **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """Name and configure one Envoy extension."""
    return {"name": name, "typed_config": typed(message, **fields)}


def address(host: str, port: int) -> Json:
    """Build a TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}
