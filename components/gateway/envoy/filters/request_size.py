"""The largest request: Envoy counts bytes as they pass, and holds no request in whole."""

from collections.abc import Sequence

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter, RouteName, always
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_KIB

GRPC_PREFIX_BYTES = 5
"""Prefix of each gRPC message: a flag and its length."""

_TOO_LARGE = 413
_RESOURCE_EXHAUSTED = "8"


def _config(stack: InferenceStack) -> Json:
    largest = stack.traffic.max_request_kib * BYTES_PER_KIB + GRPC_PREFIX_BYTES
    return typed(
        "extensions.filters.http.body_size_limit.v3.BodySizeLimit", max_request_bytes=largest
    )


def _route_config(_: InferenceStack, route: RouteName) -> Json | None:
    # The filter counts all messages of a stream together.
    return typed("config.route.v3.FilterConfig", disabled=True) if route == "stream" else None


def _local_replies(stack: InferenceStack) -> Sequence[Json]:
    """Turn the filter's 413, which gRPC callers would see as UNKNOWN, into RESOURCE_EXHAUSTED."""
    return [
        {
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
    ]


REQUEST_SIZE = HttpFilter(
    name="envoy.filters.http.body_size_limit",
    is_on=always,
    config=_config,
    route_config=_route_config,
    local_replies=_local_replies,
)
"""Ends a call once its body is larger than the largest request.

Calls that the gateway refuses for other reasons are refused by their headers, before the filter
counts a byte.
"""
