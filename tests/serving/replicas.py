"""Triton's pods on the local node, from the API server and from the machine that runs them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from components.triton.start import SHM_PATH
from config.selectors import triton_selector
from local_cluster.serving import cgroups
from ops.stack.lifecycle import read_settings
from tests.integration.checkout import Checkout
from tests.serving.cluster import Object, get, selected, staying

SERVER, MODEL = "tritonserver", "triton_python_backend_stub"
"""Programs of a replica: Triton, and the process of a python model."""

_HOG = """
import os, sys, time
folder, victims = sys.argv[1], [int(pid) for pid in sys.argv[2:]]
open("/proc/self/oom_score_adj", "w").write("-1000")
open(f"{folder}/cgroup.procs", "w").write(str(os.getpid()))
held = []
def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
while all(map(alive, victims)):
    held.append(bytearray(b"x") * (4 << 20))
    time.sleep(0.01)
"""
"""Takes memory out of a cgroup until the kernel has killed a process there; itself it never is."""


class Replica(NamedTuple):
    """One pod of Triton's, as the API server shows it."""

    name: str
    uid: str
    address: str
    restarts: int
    is_ready: bool
    ready_since: str
    """When it last became ready, or not ready."""
    last: Any
    """Return the last end of its container; `{}` if it never ended."""

    def processes(self) -> dict[str, psutil.Process]:
        """Its processes on this machine, by program."""
        return {name: found for name, found in _processes(self.uid) if name in (SERVER, MODEL)}

    def shared_memory(self) -> dict[str, int]:
        """Size of each region in its shared memory, bytes."""
        folder = Path(f"/proc/{self.processes()[SERVER].pid}/root{SHM_PATH}")
        return {file.name: file.stat().st_size for file in folder.iterdir()}

    def run_out_of_memory(self) -> None:
        """Fill its container's memory until the kernel kills a process of it."""
        pids = [str(process.pid) for process in self.processes().values()]
        command = [sys.executable, "-c", _HOG, str(_memory_cgroup(pids[0])), *pids]
        subprocess.run(command, check=True, timeout=120)


def replicas(checkout: Checkout) -> list[Replica]:
    """The fleet, without pods that are stopping."""
    stack = read_settings(checkout.env).inference[0]
    listed = get(checkout, "pods", "-n", stack.namespace, "-l", selected(triton_selector(stack)))
    return sorted(_replica(pod) for pod in staying(listed))


def _replica(pod: Object) -> Replica:
    (status,) = pod["status"]["containerStatuses"]
    (ready,) = [found for found in pod["status"]["conditions"] if found["type"] == "Ready"]
    return Replica(
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        address=pod["status"]["podIP"],
        restarts=status["restartCount"],
        is_ready=ready["status"] == "True",
        ready_since=ready["lastTransitionTime"],
        last=status["lastState"].get("terminated", {}),
    )


def _processes(uid: str) -> Iterator[tuple[str, psutil.Process]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("POD_UID") == uid:
                yield Path(process.cmdline()[0]).name, process


def _memory_cgroup(pid: str) -> Path:
    """Folder of the cgroup that counts a process's memory, under either version."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for hierarchy in cgroups.hierarchies():
            folder = hierarchy / path.strip("/")
            is_memory = "memory" in controllers.split(",") or not controllers
            limits = ("memory.limit_in_bytes", "memory.max")
            if is_memory and any((folder / limit).exists() for limit in limits):
                return folder
    raise AssertionError(f"no cgroup counts the memory of {pid}")
