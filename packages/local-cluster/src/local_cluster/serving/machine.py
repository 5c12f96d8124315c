"""Prerequisites of the mode `serving` on this machine."""

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
"""Programs that the mode calls, each with the Debian package that contains it."""

_ARCHITECTURE = "x86_64"


@cache
def missing_prerequisites() -> str:
    """Describe the first prerequisite that this machine lacks; empty if it lacks none."""
    if sys.platform != "linux":
        return f"Linux (this is {sys.platform})"
    if platform.machine() != _ARCHITECTURE:
        return f"an {_ARCHITECTURE} processor (this is {platform.machine()})"
    if os.geteuid() != 0:
        return "root, since it creates namespaces and mounts"
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        packages = sorted({_PROGRAMS[name] for name in missing})
        return f"{', '.join(missing)} (Debian packages {', '.join(packages)})"
    if not Path(KEYRING).exists():
        return f"{KEYRING} (package debian-archive-keyring), to verify Debian packages"
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "true"]
    tried = subprocess.run(namespaces, capture_output=True, text=True, errors="replace")
    if tried.returncode:
        return f"permission to create namespaces: {tried.stderr.strip()}"
    return ""


def require() -> None:
    """Refuse a machine that cannot run the node.

    Raises:
        LocalClusterError: The machine lacks a prerequisite, which the text names.
    """
    if missing := missing_prerequisites():
        raise LocalClusterError(
            f"LOCAL=serving needs {missing}. Provide it, or set LOCAL=simulated."
        )
