"""Names of Envoy's statistics, as Prometheus sees them; queries and scrapes use these."""

CLUSTER_LABEL = "cluster_name"
"""Label that the bootstrap's `stats_tags` make of the cluster's name, beside Envoy's own."""


def cluster_selector(envoy_cluster: str) -> str:
    """Return the PromQL selector of one cluster's series."""
    return f'{{{CLUSTER_LABEL}="{envoy_cluster}"}}'


REQUESTS_ACTIVE = "envoy_cluster_upstream_rq_active"
"""Gauge: calls in flight upstream, without those that wait for a stream to a replica."""

PENDING_OVERFLOW = "envoy_cluster_upstream_rq_pending_overflow"
"""Counter: calls refused for which no replica had a stream, and no more may wait for one."""

ACTIVE_OVERFLOW = "envoy_cluster_upstream_rq_active_overflow"
"""Counter: calls refused beyond the gateway's limit of calls in flight (`max_requests`)."""

NONE_HEALTHY = "envoy_cluster_upstream_cx_none_healthy"
"""Counter: calls refused for want of a replica that calls are sent to."""

MEMBERSHIP_HEALTHY = "envoy_cluster_membership_healthy"
"""Gauge: replicas that calls are sent to."""

LISTENER_LABEL = "envoy_http_conn_manager_prefix"
"""Label that Envoy makes of the listener's stat prefix; it says nothing of the stack."""

DURATION_REACHED = "envoy_http_downstream_rq_max_duration_reached"
"""Counter: unary calls ended at their deadline, and streams at their longest life."""
