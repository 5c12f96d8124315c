"""Envoy's bootstrap and command line as pure functions of an inference stack."""

from components.gateway.envoy.admin import admin, ops_listener
from components.gateway.envoy.clusters.registry import clusters
from components.gateway.envoy.drain import DRAIN_TIME_SECONDS
from components.gateway.envoy.listener import grpc_listener
from components.gateway.envoy.protojson import NO_LIMIT, Json, extension
from components.gateway.envoy.stats import CLUSTER_LABEL
from config.sections.gateway import HEAP_SHARE
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_MIB

_CONNECTION_BYTES = 128 * 1024

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
            above("stop_accepting_requests", 0.98),
            # Not stop_accepting_connections: a caller that waits for a connection learns nothing.
        ],
    }


def _runtime() -> Json:
    return {
        # Calls on a connection that is not up yet count as load, or a new replica draws them all.
        "envoy.reloadable_features.least_request_lb_count_pending_requests": True,
        # Callers that give up together are not an attack: the stream reset bucket bounds those.
        "overload.premature_reset_total_stream_count": NO_LIMIT,
        # The list of methods is longer than the expressions that Envoy takes by default.
        "re2.max_program_size.error_level": _MAX_EXPRESSION,
    }


def bootstrap(stack: InferenceStack) -> Json:
    """Envoy's whole configuration, in the JSON form of `envoy.config.bootstrap.v3.Bootstrap`.

    Envoy's own defaults stand for no limit: each is written, because they change with releases.
    """
    return {
        "node": {"id": stack.gateway_name, "cluster": stack.gateway_name},
        "admin": admin(stack),
        "stats_config": {
            # Envoy's own label is envoy_cluster_name; the scaler's query asks for this one.
            "stats_tags": [{"tag_name": CLUSTER_LABEL, "regex": r"^cluster\.((.+?)\.)"}]
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _runtime()}]},
        "overload_manager": _overload_manager(stack),
        "static_resources": {
            "listeners": [grpc_listener(stack), ops_listener(stack)],
            "clusters": clusters(stack),
        },
    }


def arguments(config_path: str) -> list[str]:
    """Envoy's command line.

    Args:
        config_path: file that holds the bootstrap.

    Returns:
        Arguments after the program's name.
    """
    return [
        "--config-path",
        config_path,
        # A limit per replica is kept per worker: with two, each replica would get twice as much.
        "--concurrency",
        "1",
        # The first answer after the drain's start moves its connection, not a growing share.
        "--drain-strategy",
        "immediate",
        "--drain-time-s",
        str(DRAIN_TIME_SECONDS),
        "--disable-hot-restart",
        "--log-level",
        "info",
        # A line for every request that is too large would let a caller fill the log.
        "--component-log-level",
        "http:critical",
    ]
