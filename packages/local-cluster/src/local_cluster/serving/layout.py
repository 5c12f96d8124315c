"""Addresses, names and places of the local node: each once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTICE = "Its one node is real and runs the containers; its GPUs are pretended."

NODE_NAME = "local"

NODE_ADDRESS = "10.245.0.2"
"""The node's address, which pods and the API server know it by; outside its namespace it is
nobody's."""

NODE_NETWORK = "10.245.0.0/24"
NODE_GATEWAY = "10.245.0.1"
"""Where the default route leads, which kube-apiserver and kubelet ask for: to nobody."""

POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""The control plane's processes, by kwokctl's names."""

PROCESSES = ("node-sandbox", "node-init", "containerd", "kubelet", "kube-proxy", "forwarder")
"""What runs beside them, by the name of its program."""

TOOLS = ("cluster", "serving", "prometheus")
"""What it needs of the table of tools."""

OPTIONS: dict[str, Any] = {
    # Of their own network namespace: pods ask the API server too.
    "bindAddress": "0.0.0.0",  # noqa: S104 - inside the sandbox alone
    "kubeApiserverCertSANs": [
        API_SERVICE,
        NODE_ADDRESS,
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
    ],
}
"""kwokctl's options."""

PKI = "{pki}"
"""Stands for the folder of the cluster's certificates in the flags below."""

# A new process need not wait for the lease of one that was killed.
_NO_LEASE = {"leader-elect": "false"}

COMPONENT_ARGS = {
    "kube-apiserver": {
        "advertise-address": NODE_ADDRESS,
        "service-cluster-ip-range": SERVICE_NETWORK,
        "kubelet-client-certificate": f"{PKI}/admin.crt",
        "kubelet-client-key": f"{PKI}/admin.key",
        # The node's name is in no DNS.
        "kubelet-preferred-address-types": "InternalIP",
        # KEDA's metrics API is one that the API server hands requests on to.
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
"""Further flags of the control plane's processes."""


HOME = Path("/run/kubemind")
"""The node's folder as its own processes see it: short, since sockets in it have long names."""

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
"""In the node's own /run, so beside any containerd of the user's."""


@dataclass(frozen=True)
class NodePaths:
    """The node's folder, as the machine sees it or (`HOME`) as the node does."""

    root: Path

    @property
    def containerd(self) -> Path:
        """Images, snapshots and containers."""
        return self.root / "containerd"

    @property
    def kubelet(self) -> Path:
        """Kubelet's folder: the pods' volumes."""
        return self.root / "kubelet"

    @property
    def var_log(self) -> Path:
        """What the node has at /var/log: the containers' logs."""
        return self.root / "var-log"

    @property
    def logs(self) -> Path:
        """What the node's own processes say."""
        return self.root / "logs"

    @property
    def etc(self) -> Path:
        """Configuration of the node's processes, written anew at each start."""
        return self.root / "etc"

    @property
    def containerd_config(self) -> Path:
        """Configuration of containerd."""
        return self.etc / "containerd.toml"

    @property
    def cni(self) -> Path:
        """Configuration of the pods' network."""
        return self.etc / "cni"

    @property
    def kubelet_config(self) -> Path:
        """Configuration of kubelet."""
        return self.etc / "kubelet.yaml"

    @property
    def kubeconfig(self) -> Path:
        """By which kubelet and kube-proxy reach the API server."""
        return self.etc / "kubeconfig"

    @property
    def resolv_conf(self) -> Path:
        """Name servers of pods that use the node's: none."""
        return self.etc / "resolv.conf"

    @property
    def plan(self) -> Path:
        """What the node's first process does, as JSON."""
        return self.etc / "plan.json"

    @property
    def imported(self) -> Path:
        """A mark for each image that containerd has."""
        return self.root / "imported"

    @property
    def ready(self) -> Path:
        """Written when the node's namespaces are laid out and containerd was started."""
        return self.root / "ready"

    @property
    def join(self) -> Path:
        """Written when there is an API server for kubelet to join."""
        return self.root / "join"
