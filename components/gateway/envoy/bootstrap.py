"""Envoy's bootstrap and command line as pure functions of an inference stack."""

from components.gateway.envoy import tracing
from components.gateway.envoy.admin import admin, status_listener
from components.gateway.envoy.clusters.registry import clusters
from components.gateway.envoy.drain import DRAIN_TIME_SECONDS
from components.gateway.envoy.filters.registry import filter_listeners
from components.gateway.envoy.listener import grpc_listener
from components.gateway.envoy.protojson import NO_LIMIT, Json, extension, typed
from components.gateway.envoy.stats import CLUSTER_LABEL
from config.sections.gateway import HEAP_SHARE
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_MIB

_CONNECTION_BYTES = 48 * 1024
"""Heap of one connection without calls: 36 KB measured, 40 with TLS, 46 with a client's
certificate."""

_PRESSED, _FULL = 0.5, 0.7
"""Shares of the heap between which connections without calls lose their time."""

_PRESSED_IDLE_SECONDS = 5
"""Time for which a connection may carry no call on a full heap; otherwise the listener's."""

_MAX_EXPRESSION = 300
"""Largest regular expression, in RE2's instructions; the routes' are half as large."""


def _overload_manager(stack: InferenceStack) -> Json:
    heap_bytes = int(HEAP_SHARE * stack.gateway.memory_mib * BYTES_PER_MIB)
    heap = "envoy.resource_monitors.fixed_heap"

    def above(action: str, value: float) -> Json:
        return {
            "name": f"envoy.overload_actions.{action}",
            "triggers": [{"name": heap, "threshold": {"value": value}}],
        }

    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                heap,
                "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=heap_bytes,
            ),
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=max(1, heap_bytes // _CONNECTION_BYTES),
            ),
        ],
        "actions": [
            above("shrink_heap", 0.95),
            # A client of thousands of connections without calls loses them before others are
            # refused. Callers reconnect at their next call.
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [
                    {
                        "name": heap,
                        "scaled": {"scaling_threshold": _PRESSED, "saturation_threshold": _FULL},
                    }
                ],
                "typed_config": typed(
                    "config.overload.v3.ScaleTimersOverloadActionConfig",
                    timer_scale_factors=[
                        {
                            "timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE",
                            "min_timeout": f"{_PRESSED_IDLE_SECONDS}s",
                        }
                    ],
                ),
            },
            above("stop_accepting_requests", 0.98),
            # Not stop_accepting_connections: a caller that waits for a connection gets no answer.
        ],
    }


def _runtime(stack: InferenceStack) -> Json:
    return {
        **tracing.runtime(stack),
        # Count calls on a connection that is not up yet as load, or a new replica draws all calls.
        "envoy.reloadable_features.least_request_lb_count_pending_requests": True,
        # Callers that give up together are no attack: see the stream reset bucket of the listener.
        "overload.premature_reset_total_stream_count": NO_LIMIT,
        # The list of methods is longer than the expressions that Envoy accepts by default.
        "re2.max_program_size.error_level": _MAX_EXPRESSION,
    }


def bootstrap(stack: InferenceStack) -> Json:
    """Build Envoy's configuration, the JSON form of `envoy.config.bootstrap.v3.Bootstrap`.

    Every limit is written, because Envoy's defaults change with releases.
    """
    return {
        "node": {"id": stack.gateway_name, "cluster": stack.gateway_name},
        "admin": admin(stack),
        "stats_config": {
            # Envoy's own label is envoy_cluster_name; the scaler's query selects by this one.
            "stats_tags": [{"tag_name": CLUSTER_LABEL, "regex": r"^cluster\.((.+?)\.)"}]
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _runtime(stack)}]},
        # How busy the worker is, with or without a limit on its CPU; Envoy has no metric of CPU.
        "enable_dispatcher_stats": True,
        "overload_manager": _overload_manager(stack),
        "static_resources": {
            "listeners": [grpc_listener(stack), status_listener(stack), *filter_listeners(stack)],
            "clusters": clusters(stack),
        },
    }


def arguments(config_path: str) -> list[str]:
    """Build Envoy's command line.

    Args:
        config_path: File that holds the bootstrap.

    Returns:
        Arguments after the program's name.
    """
    return [
        "--config-path",
        config_path,
        # Envoy keeps limits per replica by worker: two workers would send each replica twice as
        # many calls.
        "--concurrency",
        "1",
        # Each connection moves with its first answer after the drain's start; the other strategy
        # moves a growing share of connections.
        "--drain-strategy",
        "immediate",
        "--drain-time-s",
        str(DRAIN_TIME_SECONDS),
        "--disable-hot-restart",
        "--log-level",
        "info",
        # Envoy logs each request that is too large: a caller could fill the log.
        "--component-log-level",
        "http:critical",
    ]
