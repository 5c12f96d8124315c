"""What operators see: readiness and metrics on a port of their own; admin on loopback only."""

from components.gateway.envoy.listener import HTTP_CONNECTION_MANAGER, router
from components.gateway.envoy.protojson import Json, address, typed
from config.sections.inference import InferenceStack

READY_PATH = "/ready"
"""200 while Envoy is live; 503 before, and once it drains."""

METRICS_PATH = "/stats/prometheus"
"""Statistics in Prometheus's text format."""

LOOPBACK = "127.0.0.1"
"""Where admin listens: it can stop Envoy and show its configuration."""

_ADMIN_CLUSTER = "admin"
_MAX_SCRAPES = 16


def admin(stack: InferenceStack) -> Json:
    """`Admin` of the bootstrap."""
    return {"address": address(LOOPBACK, stack.gateway.admin_port)}


def ops_listener(stack: InferenceStack) -> Json:
    """`Listener` for kubelet and Prometheus: two paths, GET only; anything else is 404."""
    routes = [
        {
            "match": {
                "path": path,
                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
            },
            "route": {"cluster": _ADMIN_CLUSTER, "timeout": "5s"},
        }
        for path in (READY_PATH, METRICS_PATH)
    ]
    manager = typed(
        HTTP_CONNECTION_MANAGER,
        stat_prefix="ops",
        codec_type="AUTO",
        route_config={
            "name": "ops",
            "virtual_hosts": [{"name": "ops", "domains": ["*"], "routes": routes}],
        },
        http_filters=[router()],
        common_http_protocol_options={"idle_timeout": "60s"},
        request_headers_timeout="5s",
        stream_idle_timeout="10s",
        normalize_path=True,
    )
    return {
        "name": "ops",
        "address": address("0.0.0.0", stack.gateway.ops_port),
        "traffic_direction": "OUTBOUND",
        # Probes and scrapes must get through just when the gateway is overloaded.
        "bypass_overload_manager": True,
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def admin_cluster(stack: InferenceStack) -> Json:
    """`Cluster` that leads the ops listener to admin."""
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _MAX_SCRAPES,
                    "max_pending_requests": _MAX_SCRAPES,
                    "max_requests": _MAX_SCRAPES,
                    "max_retries": 1,
                }
            ]
        },
        "load_assignment": {
            "cluster_name": _ADMIN_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": address(LOOPBACK, stack.gateway.admin_port)}}
                    ]
                }
            ],
        },
    }
