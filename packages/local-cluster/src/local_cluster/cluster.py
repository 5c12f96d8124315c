"""The local Kubernetes cluster of one state folder: start it, stop it, inspect it."""

import os
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
from lightkube import Client, KubeConfig

from local_cluster import kubeconfig, objects, ports, processes, toolchain
from local_cluster.control_plane import ControlPlane
from local_cluster.errors import LocalClusterError, StartError
from local_cluster.modes import DOWN_COMMAND, MODE_VARIABLE, SIMULATED, UP_COMMAND, Mode, choose
from local_cluster.paths import CONTEXT, Paths
from local_cluster.record import Record
from local_cluster.serving import images, machine
from local_cluster.serving.node import Node
from local_cluster.spec import ClusterSpec
from local_cluster.storage import locked
from local_cluster.toolchain.cache import Cache

NEEDED_MIB = 500
"""Free disk that a cluster needs: etcd allocates 120 MiB at once, then data and logs grow."""

FIELD_MANAGER = "kubemind-local"


def _say(text: str) -> None:
    print(f"local cluster: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Up:
    """Result of `Cluster.up`."""

    cluster_id: str
    """Identity of the cluster; state recorded against another identity is void."""

    is_new: bool
    """True if this call created the cluster; false if it found or restarted one."""


class Cluster:
    """The cluster in one state folder. Clusters in different folders run side by side.

    A cluster writes only to its folder and to the cache, and never to `~/.kube`.
    """

    def __init__(
        self,
        state_dir: Path,
        mode: str | None = None,
        report: Callable[[str], None] = _say,
        default: Mode = SIMULATED,
        *,
        up_command: str = UP_COMMAND,
        down_command: str = DOWN_COMMAND,
    ) -> None:
        """Refer to a cluster, without reading or changing anything.

        Args:
            state_dir: Folder that holds the cluster. It may hold other files, too.
            mode: Mode of the cluster; if None, `$LOCAL`, or else the mode that it has.
            report: Called with each line of progress.
            default: Mode of a new cluster, unless `mode` or `$LOCAL` sets it.
            up_command: Command that starts the cluster, for messages.
            down_command: Command that removes the cluster, for messages.
        """
        self.paths = Paths(state_dir.resolve())
        self.context = CONTEXT
        self.up_command = up_command
        self.down_command = down_command
        self._asked_mode = mode or os.environ.get(MODE_VARIABLE) or None
        self._report = report
        self._default = default

    @property
    def kubeconfig(self) -> Path:
        """Path of the kubeconfig. It embeds its certificates and exists while the cluster does."""
        return self.paths.kubeconfig

    @property
    def record(self) -> Record | None:
        """Record of the cluster; None before it was first ready."""
        return Record.read(self.paths.record)

    @property
    def mode(self) -> Mode:
        """Mode of the cluster, or the mode that a new one would have.

        Raises:
            LocalClusterError: This version does not know the cluster's mode.
        """
        return self._choose_mode(None)

    @property
    def is_running(self) -> bool:
        """True if all of its processes run and its API server is ready."""
        record = self.record
        return record is not None and self._plane(self.mode).is_whole(record.ports)

    def components(self) -> dict[str, int | None]:
        """Return the process id of each component; None if it does not run."""
        mode = self.mode
        running = self._plane(mode).running()
        return {name: running.get(name) for name in mode.processes}

    def client(self) -> Client:
        """Return a client with all permissions in the running cluster."""
        config = KubeConfig.from_file(self.kubeconfig).get(self.context)
        # The machine's proxy settings do not apply to loopback.
        return Client(config, field_manager=FIELD_MANAGER, trust_env=False)

    def cluster_id(self) -> str:
        """Return the identity of the running cluster; a cluster that is replaced gets a new one."""
        return objects.cluster_id(self.client(), self._report)

    def up(self, spec: ClusterSpec, *, reshape: bool = True) -> Up:
        """Start or repair the cluster, and bring its nodes in line with a specification.

        The cluster keeps its data if it can start from it. Otherwise a new cluster replaces it, and
        a line of progress says so.

        Args:
            spec: Nodes, images and forwards of the cluster.
            reshape: Whether an existing cluster may change its mode, the arguments of its
                processes and its nodes. If not, it continues as it is.

        Raises:
            LocalClusterError: The cluster is not up; the text gives the reason.
            toolchain.ToolchainError: A tool is missing and could not be built.
        """
        mode = self._choose_mode(self._asked_mode)
        if not reshape:
            self._require_same(mode)
        self._require_mode(mode, spec)
        tools = toolchain.ensure(*mode.tools)
        with self._exclusive("started"):
            before = self.record
            plane = self._plane(mode, spec)
            self._require_space(plane, tools)
            record = self._run(plane, tools, before, reshape)
            is_new = before is None or before.cluster_id != record.cluster_id
            shaping = spec if reshape or is_new else None
            nodes = mode.nodes(shaping) if shaping else None
            try:
                objects.fill(self.client(), nodes, tools["keda-crds"], self._report)
            except LocalClusterError as error:
                logs = self.paths.log_of("*")
                raise LocalClusterError(f"{error}. Logs of its processes: {logs}") from error
            if plane.node:
                gpus = shaping.serving_node.gpus if shaping else None
                plane.node.install_addons(self.client(), tools, gpus)
        self._report(
            f"{'made' if is_new else 'up'}; its API is at {ports.api_address(record.ports)}"
        )
        return Up(record.cluster_id, is_new)

    def down(self) -> bool:
        """End all processes of the cluster and remove its folder; return False if it had neither.

        Raises:
            LocalClusterError: Something could not be removed; the text names it.
        """
        with self._exclusive("stopped"):
            was_there = self.paths.root.exists()
            stopped = self._remove()
            self.paths.lock.unlink()
        with suppress(OSError):
            # The folder may hold other files.
            self.paths.state_dir.rmdir()
        return was_there or bool(stopped)

    def _choose_mode(self, asked: str | None) -> Mode:
        record = self.record
        made_as = record.mode if record else None
        return choose(asked, made_as, self._default, self.down_command)

    def _plane(self, mode: Mode, spec: ClusterSpec | None = None) -> ControlPlane:
        node = None
        if mode.node_processes:
            node = Node(paths=self.paths, report=self._report, spec=spec or ClusterSpec())
        return ControlPlane(paths=self.paths, mode=mode, report=self._report, node=node)

    def _require_same(self, mode: Mode) -> None:
        record = self.record
        if record and record.mode != mode.name:
            raise LocalClusterError(
                f"the local cluster was created as {record.mode}, and {MODE_VARIABLE}={mode.name} "
                f"asks for another mode. Only `{self.up_command}` replaces it, which loses "
                f"everything in it. Unset it, or set {MODE_VARIABLE}={record.mode}."
            )

    def _require_mode(self, mode: Mode, spec: ClusterSpec) -> None:
        if mode.node_processes:
            machine.require()
            images.require_known(spec)

    @contextmanager
    def _exclusive(self, verb: str) -> Generator[None]:
        def waiting(holder: str) -> None:
            self._report(f"waiting for another run that is changing it (process {holder})")

        try:
            with locked(self.paths.lock, waiting):
                yield
        except (OSError, httpx2.HTTPError) as error:
            raise LocalClusterError(f"the local cluster could not be {verb}: {error}") from error

    def _require_space(self, plane: ControlPlane, tools: Mapping[str, Path]) -> None:
        need_mib = NEEDED_MIB
        if plane.node:
            build_mib, import_mib = plane.node.needed_mib(tools)
            cache = Cache()
            cache.require_space(build_mib, "the images of LOCAL=serving")
            on_one_disk = cache.place.stat().st_dev == self.paths.state_dir.stat().st_dev
            need_mib += import_mib + (build_mib if on_one_disk else 0)
        have_mib = shutil.disk_usage(self.paths.state_dir).free // 2**20
        if have_mib < need_mib:
            raise LocalClusterError(
                f"not enough disk for the local cluster: {self.paths.state_dir} has {have_mib} MiB "
                f"free and it needs {need_mib} MiB. Free some space and run it again."
            )

    def _run(
        self, plane: ControlPlane, tools: Mapping[str, Path], before: Record | None, reshape: bool
    ) -> Record:
        """Make the control plane run; return its record."""
        if before and before.mode != plane.mode.name:
            self._report(
                f"it was created as {before.mode}; recreating it as {plane.mode.name}, so all "
                "objects in it are lost"
            )
        elif before:
            unchanged = before.launch == plane.launch_of(before.ports, tools)
            if (unchanged or not reshape) and plane.becomes_whole(before.ports):
                kubeconfig.write(self.paths, before.ports)
                return before
            self._report("restarting it with its data")
            # Twice, since another program may take a port between the check and the start.
            for _ in range(2):
                try:
                    return self._start(plane, tools, before.ports)
                except StartError as error:
                    self._report(str(error))
            self._report("it cannot start from its data; recreating it")
        elif self.paths.root.exists():
            self._report("removing the files of an interrupted run")
        self._remove()
        self._report(f"starting {', '.join(plane.mode.processes)}")
        try:
            return self._start(plane, tools, {})
        except StartError as error:
            self._report(str(error))
        self._remove()
        return self._start(plane, tools, {})

    def _start(
        self, plane: ControlPlane, tools: Mapping[str, Path], kept: Mapping[str, int]
    ) -> Record:
        plane.stop()
        self.paths.root.mkdir(mode=0o700, exist_ok=True)
        further = tuple(plane.node.spec.forwards) if plane.node else ()
        chosen = ports.choose(self.paths.root, kept, further)
        plane.start(chosen, tools)
        kubeconfig.write(self.paths, chosen)
        objects.release_nodes(self.client())
        record = Record(
            mode=plane.mode.name,
            cluster_id=self.cluster_id(),
            ports=chosen,
            launch=plane.launch_of(chosen, tools),
        )
        record.write(self.paths.record)
        return record

    def _remove(self) -> list[str]:
        # The record goes first: a folder without it never counts as a cluster.
        self.paths.record.unlink(missing_ok=True)
        stopped = processes.stop_all(self.paths.root)
        # In any mode, since the record may be lost.
        Node(paths=self.paths, report=self._report).close()
        if self.paths.root.exists():
            shutil.rmtree(self.paths.root)
        return stopped
