"""Where everything of one cluster lies."""

from dataclasses import dataclass
from pathlib import Path

CLUSTER_NAME = "kubemind"
"""kwokctl's name of the cluster."""

CONTEXT = f"kwok-{CLUSTER_NAME}"
"""Context in the kubeconfig; kwokctl names it so."""


@dataclass(frozen=True)
class Paths:
    """The files of the cluster in one state folder."""

    state_dir: Path
    """The folder itself, resolved; other parts keep things in it too."""

    @property
    def lock(self) -> Path:
        """Held by whoever changes the cluster."""
        return self.state_dir / "local.lock"

    @property
    def root(self) -> Path:
        """The folder of everything else; gone when the cluster is."""
        return self.state_dir / "local"

    @property
    def kubeconfig(self) -> Path:
        """For the user, complete in itself."""
        return self.root / "kubeconfig"

    @property
    def record(self) -> Path:
        """Written once the cluster was ready."""
        return self.root / "record.json"

    @property
    def bin(self) -> Path:
        """Links to the tools, so that kwokctl and what it runs are known by their commands."""
        return self.root / "bin"

    @property
    def kwokctl_config(self) -> Path:
        """What kwokctl was started with."""
        return self.root / "kwokctl.yaml"

    @property
    def kwokctl_log(self) -> Path:
        """What kwokctl said."""
        return self.root / "kwokctl.log"

    @property
    def data(self) -> Path:
        """What etcd holds: all that is in the cluster."""
        return self.root / "etcd"

    @property
    def kwok_cluster(self) -> Path:
        """Where kwokctl, at home in `root`, keeps bin/, logs/, pids/, pki/ and kwok.yaml."""
        return self.root / ".kwok" / "clusters" / CLUSTER_NAME

    @property
    def pki(self) -> Path:
        """Certificates and keys, made with the cluster."""
        return self.kwok_cluster / "pki"

    def log_of(self, component: str) -> Path:
        """What a component says, since it was last started."""
        return self.kwok_cluster / "logs" / f"{component}.log"

    def pid_file_of(self, component: str) -> Path:
        """Where kwokctl notes a component's process."""
        return self.kwok_cluster / "pids" / f"{component}.pid"
