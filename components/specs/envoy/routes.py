"""Routes: unary calls and streams, each bounded in time."""

from components.specs.envoy.wire import Json, seconds
from config.gateway import Retries
from config.inference import InferenceStack
from config.units import BYTES_PER_KIB

STREAM_PATH = "/inference.GRPCInferenceService/ModelStreamInfer"
"""KServe v2's bidirectional stream (Triton's `grpc_service.proto`)."""

_ANSWER_SHARE = 0.025
_MAX_ANSWER_SECONDS = 0.05

RETRY_ON = "connect-failure,refused-stream"
"""Failures after which no replica has begun to work on the call."""


def answer_seconds(stack: InferenceStack) -> float:
    """How long before a caller's deadline the gateway answers DEADLINE_EXCEEDED, seconds.

    The answer must arrive before the caller gives up by itself, or the caller resets the stream. It
    is taken from every `grpc-timeout`, so that a short one suffers most: a fortieth of the
    deadline, at most 0.05 s.
    """
    return min(_MAX_ANSWER_SECONDS, _ANSWER_SHARE * stack.traffic.deadline_seconds)


def _retry_policy(retries: Retries) -> Json:
    return {
        "retry_on": RETRY_ON,
        "num_retries": retries.attempts,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                    ".PreviousHostsPredicate"
                },
            }
        ],
        # Each attempt may pick the same idle replica again: with two of them, one in two does.
        "host_selection_retry_max_attempts": 20,
    }


def _route(stack: InferenceStack, max_stream_duration: Json, idle_timeout: str) -> Json:
    route: Json = {
        "cluster": stack.envoy_cluster,
        # Envoy's route timeout answers UNAVAILABLE, as a full gateway does, counts as a failure of
        # the replica, and starts only when the whole request is there. The stream's duration
        # answers DEADLINE_EXCEEDED, blames no replica, and starts with the call.
        "timeout": "0s",
        "max_stream_duration": max_stream_duration,
        "idle_timeout": idle_timeout,
    }
    if stack.gateway.retries.attempts:
        route["retry_policy"] = _retry_policy(stack.gateway.retries)
    return route


def _stream(stack: InferenceStack) -> Json:
    # A stream that is cut after its first answer ends in RST_STREAM, which callers see as INTERNAL:
    # what a caller's own deadline bounds is left to the caller.
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


def route_config(stack: InferenceStack) -> Json:
    """`RouteConfiguration` of the gateway's listener."""
    return {
        "name": "local_route",
        "virtual_hosts": [
            {
                "name": "backend",
                "domains": ["*"],
                # A replica that knew the deadline would answer DEADLINE_EXCEEDED by itself, which
                # counts as its failure: saturated replicas would be ejected. The reset tells it.
                "request_headers_to_remove": ["grpc-timeout"],
                "request_body_buffer_limit": stack.gateway.stream_window_kib * BYTES_PER_KIB,
                "routes": [
                    {"name": "stream", "match": {"path": STREAM_PATH}, "route": _stream(stack)},
                    {"name": "unary", "match": {"prefix": "/"}, "route": _unary(stack)},
                ],
            }
        ],
    }
