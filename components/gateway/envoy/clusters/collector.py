"""The cluster of the collector of spans."""

from components.gateway.envoy.protojson import Json, address, extension, typed
from components.gateway.envoy.registration import Cluster
from components.gateway.envoy.tracing import COLLECTOR_CLUSTER
from config.sections.inference import InferenceStack

_MAX_EXPORTS = 8
"""Exports at once. A collector that does not answer makes Envoy drop further spans."""


def _is_on(stack: InferenceStack) -> bool:
    return stack.gateway.tracing is not None


def _config(stack: InferenceStack) -> Json:
    tracing = stack.gateway.tracing
    assert tracing is not None  # noqa: S101 - the registry asks first
    return {
        "name": COLLECTOR_CLUSTER,
        "connect_timeout": "1s",
        "cluster_type": extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            dns_refresh_rate="30s",
            dns_lookup_family="V4_ONLY",
        ),
        # A gateway starts, and takes calls, without its collector's name.
        "wait_for_warm_on_init": False,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http2_protocol_options": {}},
            )
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 1,
                    "max_pending_requests": _MAX_EXPORTS,
                    "max_requests": _MAX_EXPORTS,
                    "max_retries": 0,
                }
            ]
        },
        "load_assignment": {
            "cluster_name": COLLECTOR_CLUSTER,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(tracing.host, tracing.port)}}]}
            ],
        },
    }


COLLECTOR = Cluster(is_on=_is_on, config=_config)
"""The collector, found under the stated name."""
