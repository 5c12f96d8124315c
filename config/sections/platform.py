"""The cluster that the stack runs on: embedded, by kubeconfig, or by a platform team's stack."""

from typing import Literal

from pydantic import Field

from config.base import STATE_FOLDER, Cidr, DiskGib, Section
from config.dns import ClusterDomain

LOCAL_KUBECONFIG = f"{STATE_FOLDER}/local/kubeconfig"
"""Path of the embedded cluster's kubeconfig, relative to the project."""

LOCAL_CONTEXT = "kwok-kubemind"
"""The embedded cluster's context."""

LOCAL_REGISTRY = "kubemind.local"
"""Start of the names of the images that are loaded into the embedded cluster's node. It has the
form of a registry's host but does not resolve, so no other image is ever pulled in their place."""

LOCAL_IDENTIFIER = "local"
"""The embedded cluster's identity in Pulumi's state, independent of the port that it listens on.
The identity of any other cluster is the address of its API server."""


class LocalPlatform(Section):
    """The embedded local Kubernetes that `make up` starts."""

    kind: Literal["local"] = "local"
    """Embedded cluster."""

    cpu_nodes: int = Field(default=2, ge=1, le=1000)
    """Simulated nodes without GPUs, for the gateway, Prometheus and the rest."""

    cpu_node_cpu: int = Field(default=8, ge=1, le=1024)
    """vCPUs of each of them."""

    cpu_node_memory_gib: int = Field(default=32, ge=1, le=16 * 1024)
    """Memory of each of them, GiB."""

    cpu_node_disk_gib: DiskGib = 100
    """Disk of each of them, GiB."""

    @property
    def dns_addresses(self) -> tuple[str, ...]:
        """None: the cluster's DNS, if it has one, runs in pods."""
        return ()

    @property
    def cluster_domain(self) -> None:
        """None: its domain is Kubernetes' own."""

    @property
    def path(self) -> str:
        """Path of its kubeconfig."""
        return LOCAL_KUBECONFIG

    @property
    def context(self) -> str:
        """Context in it."""
        return LOCAL_CONTEXT

    @property
    def identifying_keys(self) -> dict[str, object]:
        """Parameters that name the cluster, by YAML key."""
        return {"platform.kind": self.kind}


NODE_LOCAL_DNS = "169.254.20.10"
"""Address of NodeLocal DNSCache, as its manifest has it."""


class _Cluster(Section):
    dns_addresses: tuple[Cidr, ...] = (f"{NODE_LOCAL_DNS}/32",)
    """Addresses of a DNS that does not run in pods of `kube-system`: NodeLocal DNSCache by default,
    or the cluster's DNS address on EKS Auto Mode. NetworkPolicies let pods ask there, too."""

    cluster_domain: ClusterDomain | None = None
    """DNS domain of the cluster (kubelet's `clusterDomain`), for names of Services; `cluster.local`
    if unset."""


class _Eks(_Cluster):
    cluster_name: str | None = None
    """EKS cluster that the node group joins."""

    subnet_ids: tuple[str, ...] = ()
    """Subnets of the node group."""

    oidc_provider_arn: str | None = None
    """IAM OIDC provider of the cluster, for IRSA."""

    oidc_provider_url: str | None = None
    """Its issuer URL, for IRSA."""


class KubeconfigPlatform(_Eks):
    """Any cluster, by a kubeconfig file and a context in it."""

    kind: Literal["kubeconfig"]
    """Cluster by kubeconfig file."""

    path: str = Field(min_length=1)
    """Kubeconfig file; `~` is the home directory, a relative path is relative to the project."""

    context: str | None = None
    """Context in it; the file's current context where unset."""

    @property
    def identifying_keys(self) -> dict[str, object]:
        """Parameters that name the cluster, by YAML key."""
        return {"platform.path": self.path, "platform.context": self.context}


class ReferencePlatform(_Cluster):
    """A platform team's stack, which exports the fields of `PLATFORM_OUTPUTS`."""

    kind: Literal["stackReference"]
    """Cluster by stack reference."""

    stack: str = Field(min_length=1)
    """Fully qualified stack name, such as `organization/platform/prod`."""

    context: str | None = None
    """Context in the exported kubeconfig; its current context where unset."""

    @property
    def identifying_keys(self) -> dict[str, object]:
        """Parameters that name the cluster, by YAML key."""
        return {"platform.stack": self.stack, "platform.context": self.context}


Platform = LocalPlatform | KubeconfigPlatform | ReferencePlatform

PLATFORM_OUTPUTS = {
    "kubeconfig": "kubeconfig for the cluster, as text or as an object (secret)",
    "clusterName": "EKS cluster name",
    "subnetIds": "list of subnet ids for GPU nodes",
    "oidcProviderArn": "IAM OIDC provider ARN, for IRSA (optional)",
    "oidcProviderUrl": "its issuer URL, for IRSA (optional)",
}
"""Outputs that the platform stack must export, with their meaning;
`components/cluster/component.py` reads them."""
