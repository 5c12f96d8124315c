"""The caller's name: a value in Envoy's filter state, which the gateway alone sets.

No request header has it: the router removes the gateway's own headers before Envoy writes a call's
record, and a copy in dynamic metadata costs more CPU than the name itself.
"""

import json
from collections.abc import Sequence

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import ANONYMOUS, CALLER_HEADER
from config.sections.inference import InferenceStack

CALLER_KEY = "kubemind.caller"
"""Key of the name in Envoy's filter state."""

_NAMESPACE, _NOBODY = "kubemind", "nobody"
"""Path in the listener's metadata of the name of callers without one."""

_SOURCES = (
    {"command": "REQ", "param": CALLER_HEADER},
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_PEER_DNS_SAN",
    # No command operator is a constant.
    {"command": "METADATA", "param": f"LISTENER:{_NAMESPACE}:{_NOBODY}"},
)
"""Envoy's command operators for a caller's name, in order of preference. The names of a certificate
have no value if it has none; Envoy joins several by commas."""


def has_names(stack: InferenceStack) -> bool:
    """Return True if the gateway gives each call the name of its caller."""
    return stack.gateway.callers is not None


def caller_name(longest: int | None = None) -> str:
    """Return Envoy's command operator for the caller's name.

    It has no value for calls that a filter before the name refuses.

    Args:
        longest: Bytes after which the name is cut off; None for the whole name.
    """
    cut = "" if longest is None else f":{longest}"
    return f"%FILTER_STATE({CALLER_KEY}:PLAIN){cut}%"


def _forgery(_: InferenceStack) -> Sequence[Json]:
    return [{"remove": CALLER_HEADER}]


def listener_fields(stack: InferenceStack) -> Json:
    """Build the listener's field with the name of callers without one; none without names."""
    if not has_names(stack):
        return {}
    return {"metadata": {"filter_metadata": {_NAMESPACE: {_NOBODY: ANONYMOUS}}}}


def _config(_: InferenceStack) -> Json:
    first = json.dumps({"operators": _SOURCES}, separators=(",", ":"))
    return typed(
        "extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": CALLER_KEY,
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": f"%COALESCE({first})%"}},
            }
        ],
    )


CALLER_NAME = HttpFilter(
    name="caller_name", is_on=has_names, early_mutations=_forgery, config=_config
)
"""Names each call's caller; after the filter of tokens, whose claim comes in a header. Callers' own
such headers are gone before all filters."""
