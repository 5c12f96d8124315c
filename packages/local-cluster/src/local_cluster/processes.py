"""Processes of a cluster, found by their programs and never by a number in a file.

kwokctl keeps pid files and trusts them, but after a reboot a number may belong to any process. Here
a process belongs to a cluster if its program lies in the cluster's folder.
"""

import os
import select
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from local_cluster.errors import LocalClusterError

LAUNCHER = "kwokctl"

_KILL_SECONDS = 20.0


def find(root: Path) -> dict[str, list[psutil.Process]]:
    """Return the live processes of a cluster, by the name of their program.

    Args:
        root: Folder of the cluster, resolved.
    """
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter(["cmdline"]):
        # None: no permission to read it. Empty: a kernel thread, or dead and not yet reaped.
        command = process.info["cmdline"]
        if command and _runs_in(Path(command[0]), process, root):
            found.setdefault(Path(command[0]).name, []).append(process)
    return found


def _runs_in(program: Path, process: psutil.Process, root: Path) -> bool:
    if program.is_relative_to(root):
        return program.parent.name == "bin"
    # The folder may have been moved: the command still names its old path, and the working
    # directory its new one.
    if not program.match(f"*/{root.name}/.kwok/clusters/*/bin/*"):
        return False
    try:
        return Path(process.cwd()).is_relative_to(root)
    except psutil.Error:
        return False


def stop_all(root: Path) -> list[str]:
    """End every process of a cluster, first the launcher, which would start more.

    Returns:
        Names of the processes.

    Raises:
        LocalClusterError: A process belongs to another user, or does not end.
    """
    stopped: set[str] = set()
    # The next search finds processes that were forked during this one.
    while found := find(root) or find(root):
        with ExitStack() as dying:
            handles: dict[int, psutil.Process] = {}
            for name in sorted(found, key=lambda name: name != LAUNCHER):
                for process in found[name]:
                    if handle := _kill(name, process, dying):
                        handles[handle] = process
            _wait(handles)
        stopped |= set(found)
    return sorted(stopped)


def _kill(name: str, process: psutil.Process, dying: ExitStack) -> int | None:
    """Send SIGKILL to a process; return a handle that tells when it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    dying.callback(os.close, handle)
    # The handle stays with this process even if its number is reused, so this check is final.
    if not process.is_running():
        return None
    try:
        # etcd writes its data ahead, so SIGTERM would gain nothing.
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise LocalClusterError(
            f"{name} of the local cluster (process {process.pid}) runs as another user, "
            f"{process.username()}; stop the cluster as that user"
        ) from error
    return handle


def _wait(handles: dict[int, psutil.Process]) -> None:
    # Files and ports are free only once the last thread has ended.
    ended = select.poll()
    for handle in handles:
        ended.register(handle, select.POLLIN)
    left = dict(handles)
    deadline = time.monotonic() + _KILL_SECONDS
    while left:
        for handle, _ in ended.poll(max(0.0, deadline - time.monotonic()) * 1000):
            ended.unregister(handle)
            del left[handle]
        if left and time.monotonic() > deadline:
            numbers = " ".join(str(process.pid) for process in left.values())
            raise LocalClusterError(
                f"processes of the local cluster did not end within {_KILL_SECONDS:.0f} s; "
                f"inspect them with: ps {numbers}"
            )
