"""DNS names in the cluster."""

from typing import Annotated

from pydantic import Field

from config.base import ObjectName

CLUSTER_DOMAIN = "cluster.local"
"""Kubernetes' own domain of a cluster."""

ClusterDomain = Annotated[ObjectName, Field(max_length=100)]
"""Domain of a cluster; leaves room for a Service's name in the 253 characters of a DNS name."""


def service_dns_name(service: str, namespace: str, domain: str | None = None) -> str:
    """Return the absolute DNS name of a Service.

    Args:
        service: The Service.
        namespace: Its namespace.
        domain: The cluster's domain; Kubernetes' own where None.
    """
    return f"{service}.{namespace}.svc.{domain or CLUSTER_DOMAIN}"
