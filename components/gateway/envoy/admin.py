"""The operators' side: readiness and metrics on a port of their own; admin on loopback only."""

from components.gateway.envoy.filters.router import ROUTER
from components.gateway.envoy.listener import HTTP_CONNECTION_MANAGER
from components.gateway.envoy.protojson import Json, address, typed
from config.sections.inference import InferenceStack

READY_PATH = "/ready"
"""Path that answers 200 while Envoy is live, and 503 before that and while it drains."""

METRICS_PATH = "/stats/prometheus"
"""Path of the statistics in Prometheus's text format."""

LOOPBACK = "127.0.0.1"
"""Address of admin, which can stop Envoy and show its configuration."""

ADMIN_CLUSTER = "admin"
"""Name of the cluster that leads to admin."""


def admin(stack: InferenceStack) -> Json:
    """Build the bootstrap's `Admin`."""
    return {"address": address(LOOPBACK, stack.gateway.admin_port)}


def status_listener(stack: InferenceStack) -> Json:
    """Build the `Listener` of readiness and metrics: GET of two paths; all else is 404."""
    routes = [
        {
            "match": {
                "path": path,
                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
            },
            "route": {"cluster": ADMIN_CLUSTER, "timeout": "5s"},
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
        http_filters=[ROUTER.http_filter(stack)],
        common_http_protocol_options={"idle_timeout": "60s"},
        request_headers_timeout="5s",
        stream_idle_timeout="10s",
        normalize_path=True,
    )
    return {
        "name": "ops",
        "address": address("0.0.0.0", stack.gateway.ops_port),
        "traffic_direction": "OUTBOUND",
        # Probes and scrapes must get through above all when the gateway is overloaded.
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
