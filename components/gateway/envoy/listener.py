"""The gRPC listener."""

from components.gateway.envoy import access_log, caller_metrics, http2, tls, tracing
from components.gateway.envoy.filters import callers, registry
from components.gateway.envoy.protojson import Json, address, extension, seconds, typed
from components.gateway.envoy.routes import route_config
from config.sections.inference import (
    CONNECTION_JITTER_PERCENT,
    GOAWAY_SECONDS,
    InferenceStack,
)

STAT_PREFIX = "grpc_router"
"""Prefix of the listener's statistics, `http.grpc_router.*`."""

_IDLE_SECONDS = 300
"""Time for which a connection may carry no call; callers reconnect at their next one.

The timeout also ends connections without a handshake: the gateway's memory bounds the number of
open connections, and each takes the place of another.
"""

HTTP_CONNECTION_MANAGER = (
    "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
"""Type of the network filter for HTTP."""


def _early_mutations(stack: InferenceStack) -> Json:
    """Build the field for changes to a request before all filters; none without such changes."""
    mutations = registry.early_mutations(stack)
    if not mutations:
        return {}
    mutation = extension(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )
    return {"early_header_mutation_extensions": [mutation]}


def _connection_manager(stack: InferenceStack) -> Json:
    loggers = [*access_log.loggers(stack), *caller_metrics.loggers(stack)]
    return typed(
        HTTP_CONNECTION_MANAGER,
        stat_prefix=STAT_PREFIX,
        codec_type="HTTP2",
        route_config=route_config(stack),
        **_early_mutations(stack),
        http_filters=registry.http_filters(stack),
        local_reply_config={"mappers": registry.local_replies(stack)},
        http2_protocol_options=http2.downstream(stack),
        common_http_protocol_options={
            "idle_timeout": seconds(_IDLE_SECONDS),
            "max_connection_duration": seconds(stack.max_connection_seconds),
            "max_connection_duration_jitter": {"value": CONNECTION_JITTER_PERCENT},
            "max_headers_count": http2.MAX_HEADERS,
        },
        max_request_headers_kb=http2.MAX_HEADERS_KIB,
        request_headers_timeout="10s",
        # Routes bound every call; these two timeouts would end long streams.
        request_timeout="0s",
        stream_idle_timeout="0s",
        drain_timeout=seconds(GOAWAY_SECONDS),
        delayed_close_timeout="1s",
        # A request ID that nothing records costs 7 % of a call's CPU (docs/measured.md, "Envoy's
        # price of a call"). A caller's own reaches the replica in any case.
        generate_request_id=bool(stack.gateway.access_log or stack.gateway.tracing),
        **({"access_log": loggers} if loggers else {}),
        **tracing.manager_fields(stack),
    )


def grpc_listener(stack: InferenceStack) -> Json:
    """Build the callers' `Listener`, the only one that a drain of inbound listeners affects."""
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _connection_manager(stack),
    }
    return {
        "name": "grpc",
        "address": address("0.0.0.0", stack.gateway.port),
        "traffic_direction": "INBOUND",
        # A failing health check must not send GOAWAY: kube-proxy and load balancers still send
        # reconnecting clients back here. The drain script starts the drain.
        "drain_type": "MODIFY_ONLY",
        "per_connection_buffer_limit_bytes": http2.CONNECTION_BUFFER_BYTES,
        "tcp_backlog_size": 1024,
        **callers.listener_fields(stack),
        **tls.listener_fields(stack, [manager]),
    }
