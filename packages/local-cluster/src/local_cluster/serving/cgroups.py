"""One cgroup for all processes of the node, under either version of cgroups."""

import errno
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_BUSY_SECONDS = 10.0

_KUBELETS = frozenset({"cpu", "cpuset", "memory", "hugetlb", "pids"})
"""Controllers that kubelet requires in its cgroup if the machine has them
(kubernetes, pkg/kubelet/cm/cgroup_manager_linux.go)."""


def name_of(root: Path) -> str:
    """Return the name of the cgroup of the cluster in a folder."""
    return f"kubemind-{hashlib.sha256(str(root).encode()).hexdigest()[:10]}"


def hierarchies() -> list[Path]:
    """Return the folders of the machine's hierarchies; version 1 has one for each controller."""
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return [path for path in sorted(_MOUNT.iterdir()) if (path / "cgroup.procs").exists()]


def make(name: str) -> list[Path]:
    """Create the cgroup in every hierarchy, and in it a cgroup for the node's own processes.

    Returns:
        Files through which a process enters the inner cgroup.
    """
    entries: list[Path] = []
    for hierarchy in hierarchies():
        ours = hierarchy / name
        # Version 2: children have only the controllers that their parent delegates.
        _delegate(hierarchy, _KUBELETS)
        ours.mkdir(exist_ok=True)
        _delegate(ours)
        processes = ours / "node"
        processes.mkdir(exist_ok=True)
        # Version 1: a new cpuset is empty, and accepts no process.
        for folder in (ours, processes):
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / "cgroup.clone_children").exists() and (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
        entries.append(processes / "cgroup.procs")
    return entries


def _delegate(folder: Path, wanted: frozenset[str] | None = None) -> None:
    """Delegate a cgroup's controllers to its children (version 2): the wanted ones, or all."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    kept = set((folder / "cgroup.controllers").read_text().split())
    kept -= set(control.read_text().split())
    for controller in sorted(kept if wanted is None else kept & wanted):
        # One at a time: a controller that cannot be delegated must not affect the others.
        with suppress(OSError):
            control.write_text(f"+{controller}")


def remove(name: str) -> None:
    """Remove the cgroup and all cgroups in it, which no process uses any more.

    Raises:
        OSError: A process still uses it.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    for hierarchy in hierarchies() if _MOUNT.is_dir() else []:
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            while True:
                try:
                    Path(folder).rmdir()
                except FileNotFoundError:
                    pass
                except OSError as error:
                    # A killed process leaves a moment later.
                    if error.errno == errno.EBUSY and time.monotonic() < deadline:
                        time.sleep(0.02)
                        continue
                    raise
                break
