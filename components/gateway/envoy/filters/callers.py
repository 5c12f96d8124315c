"""The caller's name: a request header that the gateway alone sets."""

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import ANONYMOUS, CALLER_HEADER
from config.sections.inference import InferenceStack

_NAMES = ("%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_PEER_DNS_SAN%", ANONYMOUS)
"""Names of a caller whose token states none, in order of preference. Envoy sets no header from the
missing names of a certificate, and joins several by commas."""


def has_names(stack: InferenceStack) -> bool:
    """Return True if the gateway gives each call the name of its caller."""
    return stack.gateway.callers is not None


def _mutations(*mutations: Json) -> Json:
    return typed(
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": list(mutations)},
    )


def _forgery(_: InferenceStack) -> Json:
    return _mutations({"remove": CALLER_HEADER})


def _name(_: InferenceStack) -> Json:
    return _mutations(
        *(
            {
                "append": {
                    "header": {"key": CALLER_HEADER, "value": name},
                    "append_action": "ADD_IF_ABSENT",
                }
            }
            for name in _NAMES
        )
    )


CALLER_FORGERY = HttpFilter(name="caller_forgery", is_on=has_names, config=_forgery)
"""Removes the name that a caller states itself; the first filter of all."""

CALLER_NAME = HttpFilter(name="caller_name", is_on=has_names, config=_name)
"""Names the callers whose token does not; after the filter of tokens, which would remove the name
of a certificate."""
