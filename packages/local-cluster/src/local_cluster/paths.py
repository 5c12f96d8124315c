"""Paths of the files of one cluster."""

from dataclasses import dataclass
from pathlib import Path

CLUSTER_NAME = "kubemind"
"""kwokctl's name of the cluster."""

CONTEXT = f"kwok-{CLUSTER_NAME}"
"""Context in the kubeconfig, with the name that kwokctl gives it."""


@dataclass(frozen=True)
class Paths:
    """Paths of the cluster in one state folder."""

    state_dir: Path
    """State folder, resolved. It may hold other files, too."""

    @property
    def lock(self) -> Path:
        """Lock file of a run that changes the cluster."""
        return self.state_dir / "local.lock"

    @property
    def root(self) -> Path:
        """Folder of all other files; it exists as long as the cluster."""
        return self.state_dir / "local"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig for users, with embedded certificates."""
        return self.root / "kubeconfig"

    @property
    def record(self) -> Path:
        """Record, written once the cluster is ready."""
        return self.root / "record.json"

    @property
    def bin(self) -> Path:
        """Folder of links to the tools; a process is found by the link that it was started from."""
        return self.root / "bin"

    @property
    def kwokctl_config(self) -> Path:
        """Configuration of kwokctl."""
        return self.root / "kwokctl.yaml"

    @property
    def kwokctl_log(self) -> Path:
        """Output of kwokctl."""
        return self.root / "kwokctl.log"

    @property
    def data(self) -> Path:
        """Data of etcd, which is the content of the cluster."""
        return self.root / "etcd"

    @property
    def kwok_cluster(self) -> Path:
        """Folder of kwokctl, whose home is `root`: bin/, logs/, pids/, pki/ and kwok.yaml."""
        return self.root / ".kwok" / "clusters" / CLUSTER_NAME

    @property
    def pki(self) -> Path:
        """Certificates and keys, created with the cluster."""
        return self.kwok_cluster / "pki"

    def log_of(self, component: str) -> Path:
        """Return the log of a component, which begins at its last start."""
        return self.kwok_cluster / "logs" / f"{component}.log"

    def pid_file_of(self, component: str) -> Path:
        """Return the file in which kwokctl keeps a component's process id."""
        return self.kwok_cluster / "pids" / f"{component}.pid"
