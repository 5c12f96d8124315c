"""Whether this machine can have the node."""

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from local_cluster.errors import LocalClusterError
from local_cluster.serving.debian import KEYRING

_PROGRAMS = {
    "apt-get": "apt",
    "apt-config": "apt",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""What is called, and the Debian package that brings it."""

_ARCHITECTURE = "x86_64"


@cache
def missing_prerequisites() -> str:
    """What this machine lacks for a node of its own, in words; empty where it lacks nothing."""
    if sys.platform != "linux":
        return f"Linux (this is {sys.platform})"
    if platform.machine() != _ARCHITECTURE:
        return f"an {_ARCHITECTURE} processor (this is {platform.machine()})"
    if os.geteuid() != 0:
        return "root, since it makes namespaces and mounts"
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        packages = sorted({_PROGRAMS[name] for name in missing})
        return f"{', '.join(missing)} (Debian packages {', '.join(packages)})"
    if not Path(KEYRING).exists():
        return f"{KEYRING} (package debian-archive-keyring), to check Debian packages against"
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "true"]
    tried = subprocess.run(namespaces, capture_output=True, text=True, errors="replace")
    if tried.returncode:
        return f"the right to make namespaces: {tried.stderr.strip()}"
    return ""


def require() -> None:
    """Refuse a machine on which no node can be made.

    Raises:
        LocalClusterError: says what it lacks.
    """
    if missing := missing_prerequisites():
        raise LocalClusterError(
            f"LOCAL=serving needs {missing}. Provide it, or set LOCAL=simulated."
        )
