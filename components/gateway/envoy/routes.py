"""Routes of the calls that replicas answer, bounded in time; the gateway answers all others."""

import re

from components.gateway.envoy.filters.registry import route_configs
from components.gateway.envoy.filters.shares import BEYOND_HEADER, has_shares
from components.gateway.envoy.grpc_timeout import at_most
from components.gateway.envoy.protojson import Json, extension, seconds
from components.gateway.envoy.registration import RouteName
from config.sections.gateway import Retries
from config.sections.gateway_callers import CALLER_HEADER
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_KIB

SERVICE = "inference.GRPCInferenceService"
"""KServe v2's gRPC service (Triton's `grpc_service.proto`)."""

STREAM_METHOD = "ModelStreamInfer"
"""The service's only stream."""

UNARY_METHODS = (
    "ModelInfer",
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
)
"""Methods that read or infer. The gateway does not serve methods that load models, register shared
memory, or change logs and traces: each call would change one replica of many, for all callers."""

NOT_SERVED = f"the gateway serves {SERVICE}: {STREAM_METHOD}, {', '.join(UNARY_METHODS)}"
"""Message of UNIMPLEMENTED, which the gateway answers to all other methods."""

EXPIRED = "the deadline is over before a replica can answer"
"""Message of DEADLINE_EXCEEDED, which the gateway answers to a call that arrives too late."""

_DEADLINE_EXCEEDED = "4"
_NOT_FOUND = 404
_OK = 200

_ANSWER_SHARE = 0.025
_MAX_ANSWER_SECONDS = 0.05

RETRY_ON = "connect-failure,refused-stream"
"""Failures before any replica has begun to work on the call."""


def answer_seconds(stack: InferenceStack) -> float:
    """Return the time by which DEADLINE_EXCEEDED precedes a caller's deadline, in seconds.

    The answer must arrive before the caller itself gives up and resets the stream. Envoy subtracts
    the time from every `grpc-timeout`, so that short ones lose the largest share. The time is a
    fortieth of the deadline, at most 0.05 s.
    """
    return min(_MAX_ANSWER_SECONDS, _ANSWER_SHARE * stack.traffic.deadline_seconds)


def _retry_policy(retries: Retries) -> Json:
    return {
        "retry_on": RETRY_ON,
        "num_retries": retries.attempts,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        # Each attempt may pick the same idle replica again; of two replicas, every other does.
        "host_selection_retry_max_attempts": 20,
    }


def _route(stack: InferenceStack, max_stream_duration: Json, idle_timeout: str) -> Json:
    route: Json = {
        "cluster": stack.envoy_cluster,
        # The route timeout is not fit: it answers UNAVAILABLE, as a full gateway does, counts as a
        # failure of the replica, and starts only at the end of the request. The stream's duration
        # answers DEADLINE_EXCEEDED, counts against no replica, and starts with the call.
        "timeout": "0s",
        "max_stream_duration": max_stream_duration,
        "idle_timeout": idle_timeout,
    }
    if stack.gateway.retries.attempts:
        route["retry_policy"] = _retry_policy(stack.gateway.retries)
    return route


def _stream(stack: InferenceStack) -> Json:
    # Envoy ends a stream after its first answer with RST_STREAM, which callers see as INTERNAL.
    # Therefore each caller enforces its own deadline on streams.
    duration = {"max_stream_duration": seconds(stack.traffic.max_stream_seconds)}
    return _route(stack, duration, seconds(stack.traffic.stream_idle_seconds))


def _unary(stack: InferenceStack) -> Json:
    deadline = seconds(stack.traffic.deadline_seconds)
    duration = {
        "max_stream_duration": deadline,
        "grpc_timeout_header_max": deadline,
        "grpc_timeout_header_offset": seconds(answer_seconds(stack)),
    }
    return _route(stack, duration, "0s")


def _call(path: Json) -> Json:
    """Match gRPC calls by the whole `:path`: a path with a query, for example, does not match."""
    return {
        "prefix": "/",
        "grpc": {},
        "headers": [
            {"name": ":path", "string_match": path},
            {"name": ":method", "string_match": {"exact": "POST"}},
        ],
    }


def _unary_call() -> Json:
    methods = "|".join(UNARY_METHODS)
    return _call({"safe_regex": {"regex": f"/{re.escape(SERVICE)}/({methods})"}})


def _expired_call(stack: InferenceStack) -> Json:
    """Match unary calls whose deadline ends before a replica can answer."""
    match = _unary_call()
    timeout = {"safe_regex": {"regex": at_most(answer_seconds(stack))}}
    match["headers"].insert(0, {"name": "grpc-timeout", "string_match": timeout})
    return match


def _answer(status: int, message: str) -> Json:
    return {"status": status, "body": {"inline_string": message}}


def _named(
    stack: InferenceStack, name: RouteName, match: Json, **action: Json | list[Json]
) -> Json:
    """Build a route, with the configuration that the HTTP filters have on it."""
    route: Json = {"name": name, "match": match, **action}
    if filters := route_configs(stack, name):
        route["typed_per_filter_config"] = filters
    return route


def _internal(stack: InferenceStack) -> list[str]:
    """Return the request headers that the gateway sets for itself."""
    beyond = [BEYOND_HEADER] if has_shares(stack) else []
    return [CALLER_HEADER, *beyond] if stack.gateway.callers else beyond


def _by_guarantee(route: Json) -> list[Json]:
    """Split a route: calls within their caller's guarantee get the higher priority.

    Circuit breakers and connections to replicas are separate for each priority, so that these calls
    neither wait behind the others nor are refused with them.
    """
    unmarked = {"name": BEYOND_HEADER, "present_match": True, "invert_match": True}
    headers = [*route["match"]["headers"], unmarked]
    ahead: Json = {
        **route,
        "name": f"{route['name']}-guaranteed",
        "match": {**route["match"], "headers": headers},
        "route": {**route["route"], "priority": "HIGH"},
    }
    return [ahead, route]


def _fleet_route(stack: InferenceStack, name: RouteName, match: Json, route: Json) -> list[Json]:
    """Build the routes of calls that replicas answer."""
    built = _named(stack, name, match, route=route)
    return _by_guarantee(built) if has_shares(stack) else [built]


def route_config(stack: InferenceStack) -> Json:
    """Build the `RouteConfiguration` of the gateway's listener."""
    expired: Json = {"header": {"key": "grpc-status", "value": _DEADLINE_EXCEEDED}}
    stream_call = _call({"exact": f"/{SERVICE}/{STREAM_METHOD}"})
    return {
        "name": "local_route",
        "virtual_hosts": [
            {
                "name": "backend",
                "domains": ["*"],
                # A replica that knows the deadline answers DEADLINE_EXCEEDED itself, just before
                # the gateway does. Without the header, the gateway's reset ends the call there.
                "request_headers_to_remove": ["grpc-timeout", *_internal(stack)],
                "request_body_buffer_limit": stack.stream_window_kib * BYTES_PER_KIB,
                "routes": [
                    *_fleet_route(stack, "stream", stream_call, _stream(stack)),
                    _named(
                        stack,
                        "expired",
                        _expired_call(stack),
                        direct_response=_answer(_OK, EXPIRED),
                        response_headers_to_add=[expired],
                    ),
                    *_fleet_route(stack, "unary", _unary_call(), _unary(stack)),
                    _named(
                        stack,
                        "unknown",
                        {"prefix": "/"},
                        # Envoy turns 404 into UNIMPLEMENTED for gRPC calls.
                        direct_response=_answer(_NOT_FOUND, NOT_SERVED),
                    ),
                ],
            }
        ],
    }
