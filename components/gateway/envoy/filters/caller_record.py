"""A copy of the caller's name for the record: the router removes the header before the log."""

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import CALLER_HEADER
from config.sections.inference import InferenceStack

NAMESPACE, KEY = "kubemind", "caller"
"""Envoy's dynamic metadata with the name."""


def is_recorded(stack: InferenceStack) -> bool:
    """Return True if the gateway records the names of callers."""
    return stack.gateway.records_callers


def _config(_: InferenceStack) -> Json:
    present = {"metadata_namespace": NAMESPACE, "key": KEY, "type": "STRING"}
    return typed(
        "extensions.filters.http.header_to_metadata.v3.Config",
        request_rules=[{"header": CALLER_HEADER, "on_header_present": present}],
    )


CALLER_RECORD = HttpFilter(
    name="envoy.filters.http.header_to_metadata", is_on=is_recorded, config=_config
)
"""Copies the caller's name where access logs find it; after the filters that name the caller."""
