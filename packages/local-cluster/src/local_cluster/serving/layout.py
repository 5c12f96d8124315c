"""Addresses, names and paths of the local node."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTICE = "Its one node is real and runs the containers; its GPUs are pretended."

NODE_NAME = "local"

NODE_ADDRESS = "10.245.0.2"
"""Address of the node for pods and the API server; it exists only in the node's namespace."""

NODE_NETWORK = "10.245.0.0/24"
NODE_GATEWAY = "10.245.0.1"
"""Target of the default route that kube-apiserver and kubelet require; nothing has this address."""

POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Processes of the control plane, by kwokctl's names."""

PROCESSES = ("node-sandbox", "node-init", "containerd", "kubelet", "kube-proxy", "forwarder")
"""Processes beside them, by the names of their programs."""

TOOLS = ("cluster", "serving", "prometheus")
"""Tools and groups of tools that it needs."""

OPTIONS: dict[str, Any] = {
    # Addresses of their own network namespace: pods call the API server, too.
    "bindAddress": "0.0.0.0",  # noqa: S104 - inside the sandbox only
    "kubeApiserverCertSANs": [
        API_SERVICE,
        NODE_ADDRESS,
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
    ],
}
"""Options of kwokctl."""

PKI = "{pki}"
"""Placeholder for the folder of the cluster's certificates in the flags below."""

# A new process does not wait for the lease of a killed one.
_NO_LEASE = {"leader-elect": "false"}

COMPONENT_ARGS = {
    "kube-apiserver": {
        "advertise-address": NODE_ADDRESS,
        "service-cluster-ip-range": SERVICE_NETWORK,
        "kubelet-client-certificate": f"{PKI}/admin.crt",
        "kubelet-client-key": f"{PKI}/admin.key",
        # No DNS has the node's name.
        "kubelet-preferred-address-types": "InternalIP",
        # The API server forwards requests to KEDA's metrics API.
        "enable-aggregator-routing": "true",
        "requestheader-client-ca-file": f"{PKI}/ca.crt",
        "requestheader-allowed-names": "kwok-admin",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    },
    "kube-controller-manager": _NO_LEASE,
    "kube-scheduler": _NO_LEASE,
}
"""Additional flags of the control plane's processes."""


HOME = Path("/run/kubemind")
"""Folder of the node as its own processes see it; short, since paths of sockets are limited."""

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
"""Socket in the node's own /run, apart from any containerd of the user."""


@dataclass(frozen=True)
class NodePaths:
    """Paths in the node's folder, as the machine sees it or (`HOME`) as the node does."""

    root: Path

    @property
    def containerd(self) -> Path:
        """Images, snapshots and containers."""
        return self.root / "containerd"

    @property
    def kubelet(self) -> Path:
        """Folder of kubelet, with the pods' volumes."""
        return self.root / "kubelet"

    @property
    def var_log(self) -> Path:
        """Folder at the node's /var/log, with the containers' logs."""
        return self.root / "var-log"

    @property
    def logs(self) -> Path:
        """Logs of the node's own processes."""
        return self.root / "logs"

    @property
    def etc(self) -> Path:
        """Configuration of the node's processes, written at each start."""
        return self.root / "etc"

    @property
    def containerd_config(self) -> Path:
        """Configuration of containerd."""
        return self.etc / "containerd.toml"

    @property
    def cni(self) -> Path:
        """Configuration of the pod network."""
        return self.etc / "cni"

    @property
    def kubelet_config(self) -> Path:
        """Configuration of kubelet."""
        return self.etc / "kubelet.yaml"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of kubelet and kube-proxy."""
        return self.etc / "kubeconfig"

    @property
    def resolv_conf(self) -> Path:
        """Name servers of pods that use those of the node: none."""
        return self.etc / "resolv.conf"

    @property
    def plan(self) -> Path:
        """Plan of the node's first process, as JSON."""
        return self.etc / "plan.json"

    @property
    def imported(self) -> Path:
        """Folder with a file for each image that containerd has."""
        return self.root / "imported"

    @property
    def ready(self) -> Path:
        """File that exists once the node's namespaces are laid out and containerd has started."""
        return self.root / "ready"

    @property
    def join(self) -> Path:
        """File that exists once kubelet can join an API server."""
        return self.root / "join"
