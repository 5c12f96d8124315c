"""Names of one inference stack's objects."""

from pydantic import Field

from config.base import DnsLabel, Section
from config.dns import ClusterDomain, service_dns_name


class StackNames(Section):
    """Namespace and name prefix, and all names that they give."""

    namespace: DnsLabel = "ai-namespace"
    """Namespace of the three."""

    name_prefix: str = Field(default="", pattern=r"^([a-z][a-z0-9]*-)*$")
    """Put before every name: words that begin with a letter, each with a `-` after it. Unique
    within the program."""

    cluster_domain: ClusterDomain | None = None
    """DNS domain of the cluster; if unset, that of the platform, or `cluster.local`."""

    @property
    def deployment_name(self) -> str:
        """Triton's Deployment."""
        return f"{self.name_prefix}triton-inference-deployment"

    @property
    def service_name(self) -> str:
        """Triton's headless Service."""
        return f"{self.name_prefix}ai-inference-service"

    @property
    def discovery_service_name(self) -> str:
        """Headless Service of all replicas, ready or not; only with the watchdog."""
        return f"{self.name_prefix}triton-discovery"

    @property
    def gateway_name(self) -> str:
        """The gateway's Deployment and Service."""
        return f"{self.name_prefix}envoy-gateway"

    @property
    def spare_name(self) -> str:
        """Deployment of the warm spares."""
        return f"{self.name_prefix}triton-warm-spare"

    @property
    def gateway_host(self) -> str:
        """DNS name of the gateway in the cluster."""
        return service_dns_name(self.gateway_name, self.namespace, self.cluster_domain)

    @property
    def scaler_name(self) -> str:
        """The ScaledObject."""
        return f"{self.name_prefix}triton-inference-scaler"

    @property
    def envoy_cluster(self) -> str:
        """Envoy's cluster: the label by which the scaler's query finds this stack."""
        return f"{self.name_prefix.replace('-', '_')}ai_inference_cluster"

    @property
    def service_host(self) -> str:
        """DNS name of the ready replicas."""
        return service_dns_name(self.service_name, self.namespace, self.cluster_domain)

    @property
    def all_replicas_host(self) -> str:
        """DNS name of all replicas, ready or not; only with the watchdog."""
        return service_dns_name(self.discovery_service_name, self.namespace, self.cluster_domain)
