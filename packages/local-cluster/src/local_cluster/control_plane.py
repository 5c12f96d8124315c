"""Processes of the control plane. kwokctl starts them, and this module watches them."""

import hashlib
import http.client
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cluster import kwokctl, processes
from local_cluster.commands import tail
from local_cluster.errors import LocalClusterError, StartError
from local_cluster.kwokctl import Kwokctl
from local_cluster.modes import Mode
from local_cluster.paths import Paths
from local_cluster.serving.node import Node

START_SECONDS = 180.0
"""Time limit for the control plane to become ready; it takes 3 s on two idle cores."""

_BUSY_SECONDS = 20.0
_REPORT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_RESTARTS = 3

_FOUNDATION = ("etcd", "kube-apiserver")
"""Processes that all others need. The others may end while these are slow to start."""


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """Processes of one cluster, in any state."""

    paths: Paths
    mode: Mode
    report: Callable[[str], None]
    node: Node | None = None
    """Node whose network namespace the processes share; None if they run in the machine's own."""

    @property
    def kwokctl(self) -> Kwokctl:
        """Kwokctl for this cluster."""
        return Kwokctl(paths=self.paths, mode=self.mode)

    def launch_of(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> str:
        """Return a fingerprint of the tools, flags, ports and folder of the processes."""
        used = {name: str(tools[name]) for name in kwokctl.TOOLS}
        content = f"{self.paths.root}\n{used}\n{self.kwokctl.configuration(ports)}"
        if self.node:
            content += self.node.launch(ports, tools)
        return hashlib.sha256(content.encode()).hexdigest()

    def running(self) -> dict[str, int]:
        """Return the process id of each component that runs."""
        found = processes.find(self.paths.root)
        return {name: found[name][0].pid for name in self.mode.processes if name in found}

    def is_whole(self, ports: Mapping[str, int]) -> bool:
        """Tell whether every component runs and the API is ready."""
        return self._all_run() and self.is_ready(ports)

    def becomes_whole(self, ports: Mapping[str, int]) -> bool:
        """Tell whether every component runs and the API is ready, if after a short wait."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while self._all_run() and time.monotonic() < deadline:
            if self.is_ready(ports):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _all_run(self) -> bool:
        # Each of them runs once, and no launcher is about to start more.
        found = processes.find(self.paths.root)
        return set(found) == set(self.mode.processes) and all(
            len(listed) == 1 for listed in found.values()
        )

    def is_ready(self, ports: Mapping[str, int]) -> bool:
        """Tell whether this cluster's API server reports that it is ready."""
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
        """End every process and remove its cgroup; return the names of the processes."""
        stopped = processes.stop_all(self.paths.root)
        if self.node:
            self.node.close()
        return stopped

    def start(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> None:
        """Restart every process on the existing data, and wait until the API is ready.

        Raises:
            StartError: A process ended repeatedly, or kwokctl failed.
            LocalClusterError: The API was not ready in time.
        """
        self.stop()
        self.kwokctl.lay_out(ports, tools)
        try:
            if self.node:
                self.node.open(ports, tools)
            self._launch_and_watch(ports)
            if self.node:
                self.node.join(ports["kubeApiserverPort"])
        except LocalClusterError:
            self.stop()
            raise

    def _launch(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return self.kwokctl.run(*arguments, inside=self.node.enter("--net") if self.node else ())

    def _launch_and_watch(self, ports: Mapping[str, int]) -> None:
        # Without an empty kubeconfig flag kwokctl edits the user's own file.
        launcher = self._launch("create", "cluster", "--kubeconfig=")
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
                        f"kwokctl could not start the cluster: {tail(self.paths.kwokctl_log)}"
                    )
                if launcher.returncode == 0 and self.is_ready(ports):
                    missing = sorted(set(self.mode.components) - set(running))
                    if not missing:
                        return
                    if restarts == _RESTARTS:
                        raise StartError(self._ended(missing[0]))
                    restarts += 1
                    self.kwokctl.settle_pid_files(running)
                    launcher = self._launch("start", "cluster")
                now = time.monotonic()
                if now - began > START_SECONDS:
                    raise LocalClusterError(
                        f"the local cluster was not ready after {START_SECONDS:.0f} s. "
                        f"Logs of its processes: {self.paths.log_of('*')}"
                    )
                if now - reported > _REPORT_SECONDS:
                    reported = now
                    self.report(f"waiting for the API server ({now - began:.0f} s)")
                time.sleep(_LOOK_SECONDS)
        finally:
            launcher.kill()
            launcher.wait()

    def _ended(self, component: str) -> str:
        log = self.paths.log_of(component)
        return f"{component} of the local cluster ended during its start: {tail(log)}"
