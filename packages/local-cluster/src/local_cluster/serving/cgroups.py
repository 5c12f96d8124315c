"""One cgroup for all that the node runs, under either version of cgroups."""

import errno
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_BUSY_SECONDS = 10.0

_KUBELETS = frozenset({"cpu", "cpuset", "memory", "hugetlb", "pids"})
"""Controllers that kubelet asks of its cgroup where the machine has them, or does not start
(kubernetes, pkg/kubelet/cm/cgroup_manager_linux.go)."""


def name_of(root: Path) -> str:
    """Name of the cgroup of the cluster in a folder."""
    return f"kubemind-{hashlib.sha256(str(root).encode()).hexdigest()[:10]}"


def hierarchies() -> list[Path]:
    """Folders of the machine's hierarchies: under version 1 one a controller."""
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return [path for path in sorted(_MOUNT.iterdir()) if (path / "cgroup.procs").exists()]


def make(name: str) -> list[Path]:
    """Make the cgroup, in every hierarchy, and one within for the node's own processes.

    Returns:
        The files by which a process enters the latter.
    """
    entries: list[Path] = []
    for hierarchy in hierarchies():
        ours = hierarchy / name
        # Version 2: children have only the controllers that their parent hands on.
        _hand_on(hierarchy, _KUBELETS)
        ours.mkdir(exist_ok=True)
        _hand_on(ours)
        processes = ours / "node"
        processes.mkdir(exist_ok=True)
        # Version 1: a new cpuset is empty, and takes no process.
        for folder in (ours, processes):
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / "cgroup.clone_children").exists() and (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
        entries.append(processes / "cgroup.procs")
    return entries


def _hand_on(folder: Path, wanted: frozenset[str] | None = None) -> None:
    """Let a cgroup's children have its controllers (of version 2): those wanted, or all."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    kept = set((folder / "cgroup.controllers").read_text().split())
    kept -= set(control.read_text().split())
    for controller in sorted(kept if wanted is None else kept & wanted):
        # Each by itself: one that cannot be handed on must not keep the others.
        with suppress(OSError):
            control.write_text(f"+{controller}")


def remove(name: str) -> None:
    """Remove the cgroup and all within; nothing runs in it any more.

    Raises:
        OSError: something still does.
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
                    # A process that was killed leaves a moment later.
                    if error.errno == errno.EBUSY and time.monotonic() < deadline:
                        time.sleep(0.02)
                        continue
                    raise
                break
