"""The cluster of Triton replicas: discovery, load balancing, limits and health."""

from components.gateway.envoy import http2
from components.gateway.envoy.filters.shares import has_shares
from components.gateway.envoy.protojson import NO_LIMIT, Json, address, extension, seconds, typed
from components.gateway.envoy.registration import Cluster, always
from config.sections.gateway import FleetLimit
from config.sections.inference import InferenceStack

CONNECT_TIMEOUT_SECONDS = 0.25
"""Time after which a replica that does not accept a connection has failed."""

_CHECKS_OF_THE_UNHEALTHY = 5
"""Checks of a replica that gets no calls, for each check of another: its first call waits for the
next one. With 2, growth from 2 replicas to 5 lost 5 % of what they could answer in 5 s more than
with 5 (docs/measured.md, "Beside other gateways")."""

_IPPROTO_TCP = 6
_TCP_USER_TIMEOUT = 18
_DEAD_PEER_SECONDS = 10
_MAX_EJECTION_SECONDS = 300


def _discovery(stack: InferenceStack) -> Json:
    gateway = stack.gateway
    resolver = extension(
        "envoy.network.dns_resolver.cares",
        "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        # The name is absolute: the search list of a pod's resolv.conf would turn each query into
        # four or five.
        dns_resolver_options={"no_default_search_domain": True},
        query_timeout_seconds=2,
        query_tries=2,
        # With a fixed source port, conntrack keeps sending queries to a DNS pod that is gone.
        udp_max_queries=100,
    )
    return extension(
        "envoy.cluster.dns",
        "extensions.clusters.dns.v3.DnsCluster",
        dns_refresh_rate=seconds(gateway.dns_refresh_seconds),
        dns_failure_refresh_rate={
            "base_interval": seconds(gateway.dns_refresh_seconds / 4),
            "max_interval": seconds(gateway.dns_refresh_seconds),
        },
        respect_dns_ttl=False,
        dns_jitter=seconds(gateway.dns_jitter_seconds),
        dns_lookup_family="V4_ONLY",
        typed_dns_resolver_config=resolver,
    )


def _circuit_breakers(stack: InferenceStack) -> Json:
    retries = stack.gateway.retries
    priorities = ("DEFAULT", "HIGH") if has_shares(stack) else ("DEFAULT",)
    limits: Json = {
        "thresholds": [
            {
                "priority": priority,
                "max_connections": 2 * stack.surge_replicas,
                "max_pending_requests": stack.max_pending_requests,
                "max_requests": stack.max_requests,
                # One pool per host. DNS bounds their number; a limit below it would refuse calls.
                "max_connection_pools": NO_LIMIT,
                "retry_budget": {
                    "budget_percent": {"value": retries.budget_percent},
                    "min_retry_concurrency": stack.min_retry_concurrency,
                },
                "track_remaining": True,
            }
            for priority in priorities
        ]
    }
    # By kind: sections know no fields of Envoy.
    if isinstance(stack.gateway.in_flight, FleetLimit):
        # With connections by caller this is the limit of each: a caller without one gets one.
        limits["per_host_thresholds"] = [
            {"priority": priority, "max_connections": 1} for priority in priorities
        ]
    return limits


def _health_checks(stack: InferenceStack) -> list[Json]:
    checks = stack.gateway.health_checks
    interval = seconds(checks.interval_seconds)
    sooner = seconds(checks.interval_seconds / _CHECKS_OF_THE_UNHEALTHY)
    method: Json = {"grpc_health_check": {}}
    if stack.triton.watchdog.enabled:
        method = {"http_health_check": {"path": "/"}}
    return [
        {
            "interval": interval,
            "no_traffic_interval": interval,
            "unhealthy_interval": sooner,
            "unhealthy_edge_interval": sooner,
            "timeout": seconds(checks.timeout_seconds),
            "unhealthy_threshold": checks.unhealthy_threshold,
            "healthy_threshold": checks.healthy_threshold,
            **method,
        }
    ]


def _endpoint(stack: InferenceStack) -> Json:
    endpoint: Json = {"address": address(stack.discovery_host, stack.triton.grpc_port)}
    watchdog = stack.triton.watchdog
    if watchdog.enabled:
        endpoint["health_check_config"] = {"port_value": watchdog.port}
    return {"endpoint": endpoint}


def _failures_that_eject(stack: InferenceStack) -> int:
    """Return the number of failures in a row that eject a replica: more than its open calls.

    Envoy counts a reset stream like a failed connection, and resets the count with every stream
    that it opens. A caller's own mistakes can make a replica reset at most the streams that are
    open. Only connections that fail repeatedly exceed that number.
    """
    return stack.open_calls_per_replica + 1


def _outlier_detection(stack: InferenceStack) -> Json:
    outliers = stack.gateway.outliers
    return {
        "interval": seconds(outliers.interval_seconds),
        "base_ejection_time": seconds(outliers.base_ejection_seconds),
        "max_ejection_time": seconds(max(_MAX_EJECTION_SECONDS, outliers.base_ejection_seconds)),
        "max_ejection_percent": outliers.max_ejection_percent,
        # Any status may be the caller's fault; failed connections are the replica's.
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": _failures_that_eject(stack),
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "enforcing_failure_percentage_local_origin": 0,
    }


def _config(stack: InferenceStack) -> Json:
    return {
        "name": stack.envoy_cluster,
        "connect_timeout": seconds(CONNECT_TIMEOUT_SECONDS),
        "per_connection_buffer_limit_bytes": http2.CONNECTION_BUFFER_BYTES,
        "cluster_type": _discovery(stack),
        "load_balancing_policy": {
            "policies": [
                {
                    "typed_extension_config": extension(
                        "envoy.load_balancing_policies.least_request",
                        "extensions.load_balancing_policies.least_request.v3.LeastRequest",
                        # Two random choices may miss the only free replica; a scan does not.
                        selection_method="FULL_SCAN",
                    )
                }
            ]
        },
        "common_lb_config": {
            # DNS names replicas that start or stop, too: without a healthy one, refuse calls.
            "healthy_panic_threshold": {"value": 0},
            # By default the worker learns the results of health checks up to a second late.
            "update_merge_window": "0s",
        },
        "ignore_health_on_host_removal": True,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={
                    "idle_timeout": "3600s",
                    "max_headers_count": http2.MAX_HEADERS,
                    "max_response_headers_kb": http2.MAX_ERROR_KIB,
                },
                explicit_http_config={"http2_protocol_options": http2.upstream(stack)},
            )
        },
        "upstream_connection_options": {
            "tcp_keepalive": {
                "keepalive_time": _DEAD_PEER_SECONDS,
                "keepalive_interval": 5,
                "keepalive_probes": 2,
            }
        },
        "upstream_bind_config": {
            "socket_options": [
                {
                    "description": "TCP_USER_TIMEOUT: end a connection whose data nobody confirms",
                    "level": _IPPROTO_TCP,
                    "name": _TCP_USER_TIMEOUT,
                    "int_value": _DEAD_PEER_SECONDS * 1000,
                    "state": "STATE_PREBIND",
                }
            ]
        },
        "circuit_breakers": _circuit_breakers(stack),
        "health_checks": _health_checks(stack),
        "outlier_detection": _outlier_detection(stack),
        "load_assignment": {
            "cluster_name": stack.envoy_cluster,
            "endpoints": [{"lb_endpoints": [_endpoint(stack)]}],
        },
    }


TRITON = Cluster(is_on=always, config=_config)
"""The Triton replicas, found under the headless Service's name."""
