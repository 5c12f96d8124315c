"""DNS names in the cluster."""

CLUSTER_DOMAIN = "cluster.local"
"""Domain of the cluster; Kubernetes' own default."""


def service_dns_name(service: str, namespace: str) -> str:
    """Return the absolute DNS name of a Service."""
    return f"{service}.{namespace}.svc.{CLUSTER_DOMAIN}"
