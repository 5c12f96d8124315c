"""Parts of a machine that a local node could change, and must not."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_cluster.serving import cgroups
from local_cluster.serving.files import SYSCTLS

_FOLDERS = ("/run", "/var/lib", "/var/log", "/etc", "/opt", "/run/netns", "/run/containerd")
_NAMESPACES = ("mnt", "net", "pid")

_MOMENT_SECONDS = 10.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Machine:
    """One look at it."""

    sysctls: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    cgroups: frozenset[str]
    """Those at the top, of every hierarchy."""
    entries: frozenset[str]
    """Names in the folders that a kubelet or a containerd writes to."""

    def changes(self, before: "Machine") -> dict[str, frozenset[str]]:
        """Return the differences between two looks, by kind."""
        found = {
            name: getattr(self, name) ^ getattr(before, name)
            for name in ("sysctls", "mounts", "interfaces", "entries")
        }
        # Other programs end theirs when they like.
        found["cgroups"] = self.cgroups - before.cgroups
        return {name: differing for name, differing in found.items() if differing}


def look() -> Machine:
    """Look at the machine as it is now."""
    return Machine(
        sysctls=frozenset(
            f"{name} = {Path('/proc/sys', name).read_text().strip()}"
            for name in (*SYSCTLS, "net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max")
            if Path("/proc/sys", name).exists()
        ),
        # Without numbers, which change.
        mounts=frozenset(
            " ".join(line.split()[3:5])
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        interfaces=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        cgroups=frozenset(
            str(path)
            for hierarchy in cgroups.hierarchies()
            for path in hierarchy.iterdir()
            if path.is_dir()
        ),
        entries=frozenset(
            str(path)
            for folder in _FOLDERS
            if Path(folder).is_dir()
            for path in Path(folder).iterdir()
        ),
    )


def lasting_changes(before: Machine) -> dict[str, frozenset[str]]:
    """Return the differences from an earlier look that last for a moment.

    Other programs come and go, and what was killed may take its time.
    """
    deadline = time.monotonic() + _MOMENT_SECONDS
    while (found := look().changes(before)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return found


def namespaces(processes: Iterable[psutil.Process]) -> frozenset[str]:
    """Mount, network and PID namespaces that processes are in; of those that end, none."""
    found: set[str] = set()
    for process in processes:
        for kind in _NAMESPACES:
            with suppress(OSError):
                found.add(str(Path(f"/proc/{process.pid}/ns/{kind}").readlink()))
    return frozenset(found)
