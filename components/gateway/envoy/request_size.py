"""The largest request: counted as it passes, never held in whole."""

from components.gateway.envoy.protojson import Json, extension
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_KIB

GRPC_PREFIX_BYTES = 5
"""Prefix of each gRPC message: a flag and its length."""

_FILTER = "envoy.filters.http.body_size_limit"
_TOO_LARGE = 413
_RESOURCE_EXHAUSTED = "8"


def limit(stack: InferenceStack) -> Json:
    """HTTP filter that ends a call once its body is larger than the largest request.

    Calls that the gateway refuses for other reasons are refused by their headers, before it.
    """
    largest = stack.traffic.max_request_kib * BYTES_PER_KIB + GRPC_PREFIX_BYTES
    return extension(
        _FILTER,
        "extensions.filters.http.body_size_limit.v3.BodySizeLimit",
        max_request_bytes=largest,
    )


def off() -> Json:
    """`typed_per_filter_config` of a route without the limit: it would count a whole stream."""
    disabled = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {_FILTER: disabled}


def answer(stack: InferenceStack) -> Json:
    """`ResponseMapper` of the limit's 413, which gRPC callers would see as UNKNOWN."""
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {
                    "op": "EQ",
                    "value": {"default_value": _TOO_LARGE, "runtime_key": "request_too_large"},
                }
            }
        },
        "headers_to_add": [{"header": {"key": "grpc-status", "value": _RESOURCE_EXHAUSTED}}],
        "body": {
            "inline_string": f"the request is larger than the gateway's limit of "
            f"{stack.traffic.max_request_kib} KiB (traffic.maxRequestKib)"
        },
    }
