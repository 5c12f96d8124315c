"""The embedded Kubernetes of one state folder: up, down, and what there is."""

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
"""Free disk asked for: etcd lays out 120 MiB at once, then data and logs grow."""

FIELD_MANAGER = "kubemind-local"


def _say(text: str) -> None:
    print(f"local cluster: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Up:
    """What `Cluster.up` left behind."""

    cluster_id: str
    """Identity of the cluster; state that was recorded against another one is void."""

    is_new: bool
    """Whether this call made the cluster, rather than finding or restarting one."""


class Cluster:
    """The cluster in one state folder; any number of them run beside one another.

    Nothing outside the folder is written, the user's `~/.kube` least of all.
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
        """Name a cluster; nothing is touched.

        Args:
            state_dir: Folder that holds everything of the cluster, beside things of others.
            mode: the kind of cluster; where None, `$LOCAL`, else what it was made as.
            report: told one line at a time what happens.
            default: the kind of a new cluster, where neither says anything.
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
        """Its kubeconfig, complete in itself; there while the cluster is."""
        return self.paths.kubeconfig

    @property
    def record(self) -> Record | None:
        """What is remembered of it; None before it was first ready."""
        return Record.read(self.paths.record)

    @property
    def mode(self) -> Mode:
        """The kind of cluster it is, or would be made as.

        Raises:
            LocalClusterError: it was made by a version that knows other kinds.
        """
        return self._choose_mode(None)

    @property
    def is_running(self) -> bool:
        """Whether every process of it runs and its API server is ready."""
        record = self.record
        return record is not None and self._plane(self.mode).is_whole(record.ports)

    def components(self) -> dict[str, int | None]:
        """Process id of each component; None where it does not run."""
        mode = self.mode
        running = self._plane(mode).running()
        return {name: running.get(name) for name in mode.processes}

    def client(self) -> Client:
        """A client with all rights in the running cluster."""
        config = KubeConfig.from_file(self.kubeconfig).get(self.context)
        # The machine's proxies are not for loopback.
        return Client(config, field_manager=FIELD_MANAGER, trust_env=False)

    def cluster_id(self) -> str:
        """Identity of the running cluster, new whenever the cluster is made anew."""
        return objects.cluster_id(self.client(), self._report)

    def up(self, spec: ClusterSpec, *, reshape: bool = True) -> Up:
        """Start the cluster, or heal it, and bring its nodes in line with a specification.

        Data is kept where that is possible; else the cluster is made anew, and that is said.

        Args:
            spec: Nodes, images and forwards of the cluster.
            reshape: whether a cluster that is there may become another: its kind, what its
                processes are started with, its nodes. If not, it runs on as it was made.

        Raises:
            LocalClusterError: it is not up; the text says why.
            toolchain.ToolchainError: a tool is not to be had.
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
                raise LocalClusterError(f"{error}; what its processes said: {logs}") from error
            if plane.node:
                gpus = shaping.serving_node.gpus if shaping else None
                plane.node.install_addons(self.client(), tools, gpus)
        self._report(
            f"{'made' if is_new else 'up'}; its API is at {ports.api_address(record.ports)}"
        )
        return Up(record.cluster_id, is_new)

    def down(self) -> bool:
        """End every process of the cluster and remove its folder; False if there was nothing.

        Raises:
            LocalClusterError: something is left; the text says what.
        """
        with self._exclusive("stopped"):
            was_there = self.paths.root.exists()
            stopped = self._remove()
            self.paths.lock.unlink()
        with suppress(OSError):
            # Others may keep things in it.
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
                f"the local cluster was made as {record.mode}, and {MODE_VARIABLE}={mode.name} "
                f"asks for another kind. Only `{self.up_command}` makes it anew, and with that all "
                f"that is in it goes. Unset it, or set {MODE_VARIABLE}={record.mode}."
            )

    def _require_mode(self, mode: Mode, spec: ClusterSpec) -> None:
        if mode.node_processes:
            machine.require()
            images.require_known(spec)

    @contextmanager
    def _exclusive(self, verb: str) -> Generator[None]:
        def waiting(holder: str) -> None:
            self._report(f"waiting for another run that is at work on it (process {holder})")

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
        """Have the control plane run; the record of it."""
        if before and before.mode != plane.mode.name:
            self._report(
                f"it was made as {before.mode}; making it anew as {plane.mode.name}, "
                "so all that was in it is gone"
            )
        elif before:
            unchanged = before.launch == plane.launch_of(before.ports, tools)
            if (unchanged or not reshape) and plane.becomes_whole(before.ports):
                kubeconfig.write(self.paths, before.ports)
                return before
            self._report("restarting it with the data that is there")
            # Once more, since a port may be taken between the look and the listening.
            for _ in range(2):
                try:
                    return self._start(plane, tools, before.ports)
                except StartError as error:
                    self._report(str(error))
            self._report("its data cannot be started from; making it anew")
        elif self.paths.root.exists():
            self._report("clearing away what an interrupted run left")
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
        # The record first: a folder without it is never taken for a cluster.
        self.paths.record.unlink(missing_ok=True)
        stopped = processes.stop_all(self.paths.root)
        # Whatever mode it was made in: the record may be lost.
        Node(paths=self.paths, report=self._report).close()
        if self.paths.root.exists():
            shutil.rmtree(self.paths.root)
        return stopped
