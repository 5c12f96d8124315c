"""kwokctl, which lays out and starts a control plane: its configuration and its files."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_cluster import toolchain
from local_cluster.modes import Mode
from local_cluster.paths import CLUSTER_NAME, Paths
from local_cluster.ports import ROLES
from local_cluster.processes import LAUNCHER
from local_cluster.serving.layout import PKI

_BINARIES = {
    "etcd": "etcdBinary",
    "kube-apiserver": "kubeApiserverBinary",
    "kube-controller-manager": "kubeControllerManagerBinary",
    "kube-scheduler": "kubeSchedulerBinary",
    "kwok": "kwokControllerBinary",
    "kubectl": "kubectlBinary",
}

TOOLS = (LAUNCHER, *_BINARIES)
"""kwokctl and the programs that it starts or calls."""

_LEASE_SECONDS = 16


@dataclass(frozen=True, kw_only=True)
class Kwokctl:
    """kwokctl, for one cluster."""

    paths: Paths
    mode: Mode

    def configuration(self, ports: Mapping[str, int]) -> str:
        """Return its configuration. It names every binary, so that kwokctl downloads nothing."""
        options = {
            "runtime": "binary",
            "kubeVersion": f"v{toolchain.TABLE['kube-apiserver'].version}",
            "bindAddress": "127.0.0.1",
            "components": list(self.mode.components),
            # A killed kwok still holds its nodes' leases. By default the next one ignores the nodes
            # for 200 s, and checks every 50 s even if the lease is gone.
            "nodeLeaseDurationSeconds": _LEASE_SECONDS,
            **self.mode.options,
            **{role: port for role, port in ports.items() if role in ROLES},
            # Relative to `root`, since kwokctl reads a `#` or `%` in a path as part of a URL.
            **{option: f"{self.paths.bin.name}/{tool}" for tool, option in _BINARIES.items()},
        }
        # kwokctl deletes its folder if it cannot lay it out, so the data is elsewhere.
        data = {"key": "data-dir", "value": str(self.paths.data), "override": True}
        patches: list[dict[str, Any]] = [{"name": "etcd", "extraArgs": [data]}]
        patches += [
            {
                "name": name,
                "extraArgs": [
                    {"key": k, "value": v.replace(PKI, str(self.paths.pki))}
                    for k, v in args.items()
                ],
            }
            for name, args in self.mode.component_args.items()
        ]
        return yaml.safe_dump(
            {
                "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
                "kind": "KwokctlConfiguration",
                "options": options,
                "componentsPatches": patches,
            }
        )

    def lay_out(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> None:
        """Write its configuration and remove files derived from it; keep data and certificates."""
        cluster = self.paths.kwok_cluster
        for name in ("kwok.yaml", "kubeconfig.yaml", "kubeconfig"):
            (cluster / name).unlink(missing_ok=True)
        for directory in (self.paths.bin, cluster / "bin", cluster / "pids"):
            shutil.rmtree(directory, ignore_errors=True)
        self.paths.kwokctl_config.write_text(self.configuration(ports))
        self.paths.bin.mkdir()
        for tool in TOOLS:
            (self.paths.bin / tool).symlink_to(tools[tool])

    def run(self, *arguments: str, inside: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """Start kwokctl, with its output in its log.

        Args:
            arguments: Command and its arguments.
            inside: Start of a command line that runs it in other namespaces.
        """
        # The user's settings for kwok and etcd concern other clusters. The cluster's folder is the
        # home of kwokctl: it reads $KWOK_WORKDIR, the alternative, only up to a space.
        theirs = ("KWOK_", "ETCD_", "KUBECONFIG")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
        root = self.paths.root
        environment = {**kept, "HOME": str(root), "PATH": toolchain.path_with(self.paths.bin)}
        # Relative, since kwokctl ends a path at a comma.
        configuration = self.paths.kwokctl_config.relative_to(root)
        with self.paths.kwokctl_log.open("ab") as log:
            return subprocess.Popen(
                [
                    *inside,
                    *(self.paths.bin / LAUNCHER, "--name", CLUSTER_NAME),
                    *("--config", configuration, *arguments),
                ],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def settle_pid_files(self, running: Mapping[str, int]) -> None:
        """Correct the pid files: kwokctl trusts them, and starts components that have none.

        Args:
            running: Process id of each component that runs.
        """
        for component in self.mode.components:
            file = self.paths.pid_file_of(component)
            if component in running:
                file.write_text(str(running[component]))
            else:
                file.unlink(missing_ok=True)
