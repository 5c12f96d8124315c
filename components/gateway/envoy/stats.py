"""Names of Envoy's statistics in Prometheus, for queries and tests."""

from collections.abc import Mapping

CLUSTER_LABEL = "cluster_name"
"""Label with the cluster's name, by the bootstrap's `stats_tags`; Envoy adds its own beside it."""


def selector(labels: Mapping[str, str]) -> str:
    """Return the PromQL selector of series with these labels, whose values need no escapes."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def cluster_selector(envoy_cluster: str) -> str:
    """Return the PromQL selector of one cluster's series, in whatever Kubernetes cluster."""
    return selector({CLUSTER_LABEL: envoy_cluster})


REQUESTS_ACTIVE = "envoy_cluster_upstream_rq_active"
"""Gauge of calls in flight upstream, without those that wait for a stream to a replica."""

REQUESTS_WAITING = "envoy_cluster_upstream_rq_pending_active"
"""Gauge of calls that wait in the gateway for a stream to a replica."""

PENDING_OVERFLOW = "envoy_cluster_upstream_rq_pending_overflow"
"""Counter of calls refused because no replica had a free stream and the queue was full."""

ACTIVE_OVERFLOW = "envoy_cluster_upstream_rq_active_overflow"
"""Counter of calls refused at the gateway's limit of calls in flight (`max_requests`)."""

NONE_HEALTHY = "envoy_cluster_upstream_cx_none_healthy"
"""Counter of calls refused because no replica was available."""

MEMBERSHIP = "envoy_cluster_membership_total"
"""Gauge of replicas that the gateway knows, those that start or stop included."""

LOOKUPS = "envoy_cluster_update_success"
"""Counter of DNS answers with the replicas' addresses."""

MEMBERSHIP_HEALTHY = "envoy_cluster_membership_healthy"
"""Gauge of replicas that receive calls."""

LISTENER_LABEL = "envoy_http_conn_manager_prefix"
"""Label with the listener's stat prefix; it does not identify the stack."""

UPTIME = "envoy_server_uptime"
"""Gauge of the seconds since Envoy's start."""

DOWNSTREAM_REQUESTS = "envoy_http_downstream_rq_total"
"""Counter of calls that callers began."""

DURATION_REACHED = "envoy_http_downstream_rq_max_duration_reached"
"""Counter of unary calls ended at their deadline, and of streams at their longest life."""

CERTIFICATE_EXPIRES = "envoy_listener_ssl_certificate_expiration_unix_time_seconds"
"""Gauge of the time at which a listener's certificate expires, seconds since 1970."""

CERTIFICATE_LABEL = "envoy_tls_certificate"
"""Label with the certificate's name in SDS."""

ROTATION_FAILED = "envoy_sds_key_rotation_failed"
"""Counter of new certificates and CA bundles that the gateway could not load; it keeps the old."""

SECRET_LABEL = "envoy_xds_resource_name"  # noqa: S105
"""Label with the name of a secret in SDS."""

CALLER_LIMITED = "envoy_http_local_rate_limit_rate_limited"
"""Counter of calls beyond their caller's rate; they reach no cluster."""

LIMIT_LABEL = "envoy_local_http_ratelimit_prefix"
"""Label with the stat prefix of a rate limit."""

KEYS_NOT_FETCHED = "envoy_http_jwt_authn_jwks_fetch_failed"
"""Counter of token issuers' key sets that the gateway could not fetch or read; it keeps the old."""

WORKER_BUSY = "envoy_listener_manager_worker_dispatcher_loop_duration_us_sum"
"""Counter of the microseconds in which the worker was not idle; while the kernel withholds CPU from
it, it is not idle."""

LINES_DENIED = "envoy_access_log_process_ratelimit_denied"
"""Counter of the lines that the access log left out, because it had its most lines a second."""

CALLER_CALLS = "envoy_caller_calls"
"""Counter of calls that ended, by caller and gRPC status."""

CALLER_DURATION = "envoy_caller_duration_milliseconds"
"""Histogram of the durations of calls, by caller."""
