"""Envoy as others configure it."""

from typing import Any

import yaml

from bench.rivals.bed import DNS_PORT, HOST, Bed
from components.gateway.envoy.protojson import Json, address, extension
from ops.stack.environment import PROJECT

_SEED = PROJECT / "examples" / "seed" / "proxy-config.yaml"


def usual_config(
    bed: Bed, port: int, admin_port: int, breaker: int | None, *, adaptive: bool = False
) -> Json:
    """Return the usual design's configuration, with the replicas of a headless Service as hosts.

    Args:
        bed: The replicas.
        port: Port for callers.
        admin_port: Port of Envoy's administration interface.
        breaker: Requests in flight, and as many that wait, at most; Envoy's largest number if None.
        adaptive: True to add the adaptive concurrency filter with the values of its documentation.
    """
    config: dict[str, Any] = yaml.safe_load(_SEED.read_text())
    config["admin"] = {"address": address(HOST, admin_port)}
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": HOST, "port_value": port}
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (cluster,) = config["static_resources"]["clusters"]
    endpoint = {"endpoint": {"address": address(bed.ready_name, bed.grpc_port)}}
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [endpoint]}]
    cluster["typed_dns_resolver_config"] = extension(
        "envoy.network.dns_resolver.cares",
        "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        resolvers=[address(HOST, DNS_PORT)],
    )
    most = 2**32 - 1 if breaker is None else breaker
    limits = {"max_requests": most, "max_pending_requests": most}
    cluster["circuit_breakers"]["thresholds"] = [limits]
    if adaptive:
        manager["http_filters"].insert(0, _ADAPTIVE)
    return config


_ADAPTIVE = extension(
    "envoy.filters.http.adaptive_concurrency",
    "extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
    gradient_controller_config={
        "sample_aggregate_percentile": {"value": 90},
        "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
        "min_rtt_calc_params": {
            "jitter": {"value": 10},
            "interval": "60s",
            "request_count": 50,
        },
    },
    enabled={"default_value": True, "runtime_key": "adaptive_concurrency.enabled"},
)
