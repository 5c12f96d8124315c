"""What of a machine a local node could change, and must not."""

from dataclasses import dataclass
from pathlib import Path

from local.serving.files import SYSCTLS

_FOLDERS = ("/run", "/var/lib", "/var/log", "/etc", "/opt", "/run/netns", "/run/containerd")


@dataclass(frozen=True)
class Machine:
    """One look at it."""

    sysctls: dict[str, str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    cgroups: frozenset[str]
    entries: frozenset[str]
    """Names in the folders that a kubelet or a containerd writes to."""


def look() -> Machine:
    """Look at the machine as it is now."""
    root = Path("/sys/fs/cgroup")
    # Version 1 has a hierarchy for each controller, one level down.
    cgroups = [path for depth in ("*", "*/*") for path in root.glob(depth) if path.is_dir()]
    return Machine(
        sysctls={
            name: Path("/proc/sys", name).read_text().strip()
            for name in (*SYSCTLS, "net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max")
            if Path("/proc/sys", name).exists()
        },
        # Without numbers, which are given out anew.
        mounts=frozenset(
            " ".join(line.split()[3:5])
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        interfaces=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        cgroups=frozenset(str(path) for path in cgroups if "kubemind" in path.name),
        entries=frozenset(
            str(path)
            for folder in _FOLDERS
            if Path(folder).is_dir()
            for path in Path(folder).iterdir()
        ),
    )
