"""Names of Envoy's cluster statistics, as Prometheus sees them; queries and scrapes use these."""

CLUSTER_LABEL = "cluster_name"
"""Label that the bootstrap's `stats_tags` make of the cluster's name, beside Envoy's own."""

REQUESTS_ACTIVE = "envoy_cluster_upstream_rq_active"
"""Gauge: calls in flight upstream, without those that wait for a stream to a replica."""

PENDING_OVERFLOW = "envoy_cluster_upstream_rq_pending_overflow"
"""Counter: calls refused."""

ACTIVE_OVERFLOW = "envoy_cluster_upstream_rq_active_overflow"
"""Counter: calls refused."""

MEMBERSHIP_HEALTHY = "envoy_cluster_membership_healthy"
"""Gauge: replicas that calls are sent to."""
