"""The node from outside: creates and removes its namespaces and processes, and imports images."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psutil

from local_cluster import processes
from local_cluster.commands import tail
from local_cluster.errors import LocalClusterError, StartError
from local_cluster.paths import Paths
from local_cluster.serving import cgroups, debian, files, images, init, layout, objects
from local_cluster.serving import forward as forwarder
from local_cluster.serving.layout import NodePaths
from local_cluster.serving.objects import Client
from local_cluster.spec import ClusterSpec

_PACKAGES = (
    "containerd",
    "runc",
    "nftables",
    *("libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libxtables12", "libedit2"),
    *("libgmp10", "libbsd0", "libmd0", "libtinfo6"),
)
"""containerd 1.6, runc, and nft for kube-proxy with libraries that few machines have."""

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Node:
    """Node of one cluster, in any state."""

    paths: Paths
    report: Report
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    """Specification of the cluster."""

    @property
    def outside(self) -> NodePaths:
        """Paths of its folder, as the machine sees it."""
        return NodePaths(self.paths.root / "node")

    @cached_property
    def debian(self) -> Path:
        """Folder with containerd, runc and nft."""
        return debian.unpack("node", _PACKAGES, self.report, closure=False)

    @property
    def recipes(self) -> tuple[images.Recipe, ...]:
        """Recipes of the images that the node can run."""
        return images.recipes(self.spec.envoy)

    def launch(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> str:
        """Return the arguments of its start, as a text to compare."""
        used = [str(tools[name]) for name in ("kubelet", "kube-proxy", "ptp")]
        code = ("files.py", "forward.py", "init.py", "layout.py")
        text = [Path(__file__).with_name(name).read_text() for name in code]
        labels = sorted(self.spec.serving_node.labels.items())
        return repr((used, text, self._rules(ports), labels, str(self.debian)))

    def open(self, ports: Mapping[str, int], tools: Mapping[str, Path]) -> None:
        """Create the namespaces, start containerd, and forward loopback ports.

        Raises:
            StartError: The node ended during its start; the text ends with its log.
        """
        programs = self._link_programs(tools)
        self._lay_out(tools)
        name = cgroups.name_of(self.paths.root)
        entries = cgroups.make(name)
        labels = self.spec.serving_node.labels
        text = files.first_process(self.outside, programs, self.debian, entries, labels)
        self.outside.plan.write_text(text)
        namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        first = [str(programs / "node-init"), "-I", "-S", init.__file__, str(self.outside.plan)]
        sandbox = self._spawn("node-sandbox", [*namespaces, "--", *first], shutil.which("unshare"))
        deadline = time.monotonic() + _START_SECONDS
        while not self.outside.ready.exists():
            if sandbox.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"the node could not be started: {self._tail('node-sandbox')}")
            time.sleep(_LOOK_SECONDS)
        self._spawn("forwarder", self.forwarding(self._rules(ports)), None)

    def join(self, api_port: int) -> None:
        """Start kubelet and kube-proxy, once the API server runs."""
        self.outside.kubeconfig.write_text(files.kubeconfig(api_port, self.paths.pki))
        cgroup = f"/{cgroups.name_of(self.paths.root)}"
        self.outside.kubelet_config.write_text(files.kubelet(cgroup, self.paths.pki / "ca.crt"))
        self.outside.join.touch()

    def install_addons(self, client: Client, tools: Mapping[str, Path], gpus: int | None) -> None:
        """Apply CoreDNS and KEDA, import images, advertise GPUs, and wait until all are ready.

        Args:
            client: Client of the cluster.
            tools: Path of each tool.
            gpus: GPUs that the node advertises; None keeps the number that it was given before.

        Raises:
            LocalClusterError: An image could not be built, or something did not become ready.
        """
        objects.apply(client, tools["keda-manifests"], self.report)
        self._import_images(images.ensure(tools, self.report, self.recipes))
        objects.advertise_gpus(client, gpus, self.report)
        objects.wait_for_workloads(client, self.report)

    def needed_mib(self, tools: Mapping[str, Path]) -> tuple[int, int]:
        """Return the disk that missing images will take, MiB: in the cache, and in its folder.

        Each image takes twice its size: in the cache as an archive and as the parts of it, and in
        the folder as layers and unpacked.
        """
        build = run = 0
        for recipe in self.recipes:
            archive = images.archive_of(recipe, tools)
            build += 0 if archive.exists() else 2 * recipe.mib
            run += 0 if self._mark(archive).exists() else 2 * recipe.mib
        return build, run

    def _mark(self, archive: Path) -> Path:
        # The archive's folder has the key of its content; images of one name may differ.
        return self.outside.imported / archive.parent.name

    def _import_images(self, archives: Mapping[str, Path]) -> None:
        self.outside.imported.mkdir(exist_ok=True)
        for name, archive in archives.items():
            mark = self._mark(archive)
            if not mark.exists():
                self.report(f"importing the image {name}")
                self._ctr("images", "import", str(archive))
                mark.touch()

    def close(self) -> None:
        """Remove the cgroup, which outlives the processes; all of them have ended."""
        try:
            cgroups.remove(cgroups.name_of(self.paths.root))
        except OSError as error:
            raise LocalClusterError(f"the node's cgroup could not be removed: {error}") from error

    def _rules(self, ports: Mapping[str, int]) -> list[str]:
        api = ports["kubeApiserverPort"]
        further = [f"{ports[role]}={target}" for role, target in self.spec.forwards.items()]
        return [f"{api}=127.0.0.1:{api}", *further]

    def _link_programs(self, tools: Mapping[str, Path]) -> Path:
        """Link the programs, so that `processes` finds what they start; return the folder."""
        binaries = {
            "containerd": self.debian / "usr/bin/containerd",
            "kubelet": tools["kubelet"],
            "kube-proxy": tools["kube-proxy"],
        }
        for name, target in binaries.items():
            (self.paths.bin / name).symlink_to(target)
        # The bare interpreter: its processes survive a change of the environment.
        for name in ("node-init", "forwarder"):
            (self.paths.bin / name).symlink_to(getattr(sys, "_base_executable", sys.executable))
        return self.paths.bin

    def _lay_out(self, tools: Mapping[str, Path]) -> None:
        outside = self.outside
        for folder in (outside.containerd, outside.kubelet, outside.var_log, outside.logs):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(outside.etc, ignore_errors=True)
        outside.cni.mkdir(parents=True)
        for marker in (outside.ready, outside.join):
            marker.unlink(missing_ok=True)
        plugins = outside.root / "cni-plugins"
        shutil.rmtree(plugins, ignore_errors=True)
        plugins.mkdir()
        for name in ("ptp", "loopback", "host-local"):
            (plugins / name).symlink_to(tools[name])
        runc = self.debian / "usr/sbin/runc"
        text = files.containerd(runc, layout.HOME / plugins.name)
        outside.containerd_config.write_text(text)
        (outside.cni / "pods.conflist").write_text(files.cni())
        outside.resolv_conf.write_text("")

    def _spawn(
        self, name: str, arguments: Sequence[str], executable: str | None
    ) -> "subprocess.Popen[bytes]":
        with (self.outside.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self.paths.bin / name), *arguments],
                executable=executable,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _first_process(self) -> int:
        found = processes.find(self.paths.root).get("node-init", [])
        if not found:
            raise StartError(f"the node does not run: {self._tail('node-sandbox')}")
        return min(found, key=psutil.Process.create_time).pid

    def enter(self, *namespaces: str) -> list[str]:
        """Return the start of a command line that runs a program in the node's namespaces."""
        return ["nsenter", f"--target={self._first_process()}", *namespaces, "--"]

    def forwarding(self, rules: Sequence[str]) -> list[str]:
        """Return arguments for a bare interpreter that forwards loopback ports into the node.

        Args:
            rules: `PORT=HOST:PORT` for each port; see `local_cluster.serving.forward`.
        """
        namespace = f"/proc/{self._first_process()}/ns/net"
        return ["-I", "-S", forwarder.__file__, namespace, layout.DNS_SERVICE, *rules]

    def _ctr(self, *arguments: str) -> str:
        ctr = self.debian / "usr/bin/ctr"
        command = [str(ctr), f"--address={layout.CONTAINERD_SOCKET}", "--namespace=k8s.io"]
        result = subprocess.run(
            [*self.enter("--net", "--mount", "--pid"), *command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if result.returncode:
            raise LocalClusterError(
                f"ctr {' '.join(arguments[:2])} failed: {result.stderr.strip()}"
            )
        return result.stdout

    def _tail(self, name: str) -> str:
        return tail(self.outside.logs / f"{name}.log")
