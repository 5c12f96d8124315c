"""The control plane's processes: started by kwokctl, watched here."""

import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import toolchain
from local import processes
from local.errors import LocalClusterError, StartError
from local.modes import Mode
from local.paths import CLUSTER_NAME, Paths
from local.ports import ROLES
from local.processes import LAUNCHER
from local.serving.node import Node
from local.serving.plan import PKI

START_SECONDS = 180.0
"""Longest that the control plane may take to become ready; it takes 3 s on two idle cores."""

_BUSY_SECONDS = 20.0
_REPORT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_RESTARTS = 3
_TAIL_LINES = 8

_FOUNDATION = ("etcd", "kube-apiserver")
"""Nothing else can be ready without these; the others may end where these are slow to come."""

_BINARIES = {
    "etcd": "etcdBinary",
    "kube-apiserver": "kubeApiserverBinary",
    "kube-controller-manager": "kubeControllerManagerBinary",
    "kube-scheduler": "kubeSchedulerBinary",
    "kwok": "kwokControllerBinary",
    "kubectl": "kubectlBinary",
}


_LEASE_SECONDS = 16


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """One cluster's processes, whatever state they are in."""

    paths: Paths
    mode: Mode
    report: Callable[[str], None]
    node: Node | None = None
    """The node that the processes share a network namespace with; None where they are on the
    machine's own."""

    def configuration(self, ports: Mapping[str, int]) -> str:
        """The file for kwokctl, with every binary named, so that it downloads nothing."""
        options = {
            "runtime": "binary",
            "kubeVersion": f"v{toolchain.TABLE['kube-apiserver'].version}",
            "bindAddress": "127.0.0.1",
            "components": list(self.mode.components),
            # A kwok that was killed keeps its nodes' leases: by default its successor leaves the
            # nodes alone for 200 s, and looks again every 50 s even where the lease is gone.
            "nodeLeaseDurationSeconds": _LEASE_SECONDS,
            **self.mode.options,
            **{role: port for role, port in ports.items() if role in ROLES},
            # Relative to `root`, since it takes a `#` or `%` in a path for a part of a URL.
            **{option: f"{self.paths.bin.name}/{tool}" for tool, option in _BINARIES.items()},
        }
        # kwokctl deletes its own directory when it fails to lay it out; the data is kept from it.
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

    def launch_of(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> str:
        """Fingerprint of what the processes are started with: tools, flags, ports, folder."""
        used = {name: str(tools[name]) for name in (LAUNCHER, *_BINARIES)}
        content = f"{self.paths.root}\n{used}\n{self.configuration(ports)}"
        if self.node:
            content += self.node.launch(ports, tools)
        return hashlib.sha256(content.encode()).hexdigest()

    def running(self) -> dict[str, int]:
        """Process id of each component that runs."""
        found = processes.find(self.paths.root)
        return {name: found[name][0].pid for name in self.mode.processes if name in found}

    def is_whole(self, ports: Mapping[str, int]) -> bool:
        """Whether every component runs, and the API is ready."""
        return self._all_run() and self.is_ready(ports)

    def becomes_whole(self, ports: Mapping[str, int]) -> bool:
        """Whether every component runs, and the API is ready or becomes so: it may be busy."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while self._all_run() and time.monotonic() < deadline:
            if self.is_ready(ports):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _all_run(self) -> bool:
        # Each once, and nothing that starts more of them.
        found = processes.find(self.paths.root)
        return set(found) == set(self.mode.processes) and all(
            len(listed) == 1 for listed in found.values()
        )

    def is_ready(self, ports: Mapping[str, int]) -> bool:
        """Whether this cluster's API server says that it is ready."""
        try:
            context = ssl.create_default_context(cafile=self.paths.pki / "ca.crt")
            context.load_cert_chain(self.paths.pki / "admin.crt", self.paths.pki / "admin.key")
            server = http.client.HTTPSConnection(
                "127.0.0.1", ports["kubeApiserverPort"], timeout=5, context=context
            )
            try:
                server.request("GET", "/readyz")
                return server.getresponse().status == http.HTTPStatus.OK
            finally:
                server.close()
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> list[str]:
        """End every process, and remove what would outlive them; names of what was ended."""
        stopped = processes.stop_all(self.paths.root)
        if self.node:
            self.node.close()
        return stopped

    def start(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> None:
        """Start every process anew, on the data that is there, and wait until the API is ready.

        Raises:
            StartError: a process ended again and again, or kwokctl gave up.
            LocalClusterError: it was not ready in time.
        """
        self.stop()
        self._clear_generated()
        self.paths.kwokctl_config.write_text(self.configuration(ports))
        self.paths.bin.mkdir()
        for tool in (LAUNCHER, *_BINARIES):
            (self.paths.bin / tool).symlink_to(tools[tool])
        try:
            if self.node:
                self.node.open(ports, tools)
            self._launch_and_watch(ports)
            if self.node:
                self.node.join(ports["kubeApiserverPort"])
        except LocalClusterError:
            self.stop()
            raise

    def _clear_generated(self) -> None:
        """Remove what kwokctl derives from its configuration; data and certificates stay."""
        cluster = self.paths.kwok_cluster
        for name in ("kwok.yaml", "kubeconfig.yaml", "kubeconfig"):
            (cluster / name).unlink(missing_ok=True)
        for directory in (self.paths.bin, cluster / "bin", cluster / "pids"):
            shutil.rmtree(directory, ignore_errors=True)

    def _kwokctl(self, *arguments: str) -> "subprocess.Popen[bytes]":
        # The user's own settings for kwok and etcd are for another cluster. And kwokctl is at home
        # in the folder: $KWOK_WORKDIR would do, but it reads that only up to a space.
        theirs = ("KWOK_", "ETCD_", "KUBECONFIG")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
        root = self.paths.root
        environment = {**kept, "HOME": str(root), "PATH": toolchain.path_with(self.paths.bin)}
        # Relative, since a comma would end the path.
        configuration = self.paths.kwokctl_config.relative_to(root)
        with self.paths.kwokctl_log.open("ab") as log:
            return subprocess.Popen(
                [
                    *(self.node.enter("--net") if self.node else ()),
                    *(self.paths.bin / LAUNCHER, "--name", CLUSTER_NAME),
                    *("--config", configuration, *arguments),
                ],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _launch_and_watch(self, ports: Mapping[str, int]) -> None:
        # An empty kubeconfig flag: without it kwokctl edits the user's own file.
        launcher = self._kwokctl("create", "cluster", "--kubeconfig=")
        began = reported = time.monotonic()
        restarts = 0
        try:
            while True:
                started = [c for c in _FOUNDATION if self.paths.pid_file_of(c).exists()]
                running = self.running()
                for component in started:
                    if component not in running:
                        raise StartError(self._ended(component))
                if launcher.poll():
                    raise StartError(
                        f"kwokctl could not start the cluster: {_tail(self.paths.kwokctl_log)}"
                    )
                if launcher.returncode == 0 and self.is_ready(ports):
                    missing = sorted(set(self.mode.components) - set(running))
                    if not missing:
                        return
                    if restarts == _RESTARTS:
                        raise StartError(self._ended(missing[0]))
                    restarts += 1
                    self._settle_pid_files(running)
                    launcher = self._kwokctl("start", "cluster")
                now = time.monotonic()
                if now - began > START_SECONDS:
                    raise LocalClusterError(
                        f"the local cluster was not ready after {START_SECONDS:.0f} s; what its "
                        f"processes said: {self.paths.log_of('*')}"
                    )
                if now - reported > _REPORT_SECONDS:
                    reported = now
                    self.report(f"waiting for the API server ({now - began:.0f} s)")
                time.sleep(_LOOK_SECONDS)
        finally:
            launcher.kill()
            launcher.wait()

    def _settle_pid_files(self, running: Mapping[str, int]) -> None:
        """Make kwokctl's pid files true; it believes them, and starts what they do not name."""
        for component in self.mode.components:
            file = self.paths.pid_file_of(component)
            if component in running:
                file.write_text(str(running[component]))
            else:
                file.unlink(missing_ok=True)

    def _ended(self, component: str) -> str:
        log = self.paths.log_of(component)
        return f"{component} of the local cluster ended while it was started: {_tail(log)}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n  ".join([str(log), *lines])
