"""Debian packages, unpacked into the cache and never installed.

They are pinned to a release, not to versions: apt takes the versions that the release has on the
day. It checks their signatures, and their versions and digests are recorded beside the files.

apt uses package lists and a status file of its own. It reads only the machine's keyring and proxy
settings, and changes nothing of the machine. No maintainer script runs; the one step of theirs that
matters, compiling Python's modules, happens here.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from local_cluster.commands import run
from local_cluster.storage import cache_root
from local_cluster.toolchain.cache import Cache

SUITE = "bookworm"
"""Debian 12: its NumPy is 1.24, which Triton's python backend accepts."""

PYTHON = "3.11"
"""Version of its Python."""

MIRROR_VARIABLE = "DEBIAN_MIRROR"
_MIRROR = "http://deb.debian.org"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_RECORD = "packages.txt"

_COMPILE = (
    *("/usr/bin/python3", "-I", "-m", "compileall", "-q", "-x", "/tests?/"),
    # The modification times of the files differ in an image.
    *("--invalidation-mode", "unchecked-hash", "/usr/lib/python3", f"/usr/lib/python{PYTHON}"),
)
"""Command that runs with a folder of packages as its root. Without it every container with a
read-only file system would compile NumPy at each start: 0.5 s of a core instead of 0.1 s."""

Report = Callable[[str], None]


def unpack(name: str, packages: Sequence[str], report: Report, *, closure: bool) -> Path:
    """Return a folder of the cache with the files of packages; download it if it is missing.

    The folder's `packages.txt` lists versions and digests. The folder keeps these versions until it
    is deleted.

    Args:
        name: Purpose of the folder.
        packages: Names of packages.
        report: Called with each line of progress.
        closure: Whether to include all dependencies.

    Raises:
        LocalClusterError: A package could not be downloaded.
    """
    key = hashlib.sha256(repr((SUITE, closure, packages, _COMPILE)).encode()).hexdigest()[:12]
    folder = cache_root() / "debian" / f"{name}-{key}"
    cache = Cache(folder.parent)
    if folder.is_dir():
        cache.note_use(folder)
        return folder
    with cache.locked(lambda holder: report(f"waiting for process {holder} to download them")):
        if folder.is_dir():
            return folder
        report(f"downloading the Debian packages of {name}, once, into {folder}")
        apt = _Apt(cache.scratch())
        apt.run("update")
        if closure:
            apt.run("install", "--download-only", *packages)
        else:
            apt.run("download", *packages)
        staged = cache.scratch() / name
        staged.mkdir()
        for archive in sorted(apt.archives.glob("*.deb")):
            run(["dpkg-deb", "--extract", archive, staged], f"{archive.name} could not be unpacked")
        if (staged / "usr/bin/python3").exists():
            run(["chroot", staged, *_COMPILE], "Python's modules could not be compiled")
        (staged / _RECORD).write_text(_record(apt.archives))
        staged.chmod(0o755)
        cache.install(staged, folder)
    return folder


def _record(archives: Path) -> str:
    lines = [
        f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
        for archive in sorted(archives.glob("*.deb"))
    ]
    return "".join(lines)


class _Apt:
    """apt with a state folder of its own."""

    def __init__(self, scratch: Path) -> None:
        self.archives = scratch / "cache" / "archives"
        for folder in (self.archives / "partial", scratch / "state" / "lists" / "partial"):
            folder.mkdir(parents=True)
        status, sources = scratch / "status", scratch / "sources.list"
        status.touch()
        mirror = os.environ.get(MIRROR_VARIABLE, _MIRROR).rstrip("/")
        signed = f"deb [signed-by={KEYRING}] {mirror}"
        sources.write_text(
            f"{signed}/debian {SUITE} main\n"
            f"{signed}/debian {SUITE}-updates main\n"
            f"{signed}/debian-security {SUITE}-security main\n"
        )
        options = {
            "Dir::State": scratch / "state",
            "Dir::State::status": status,
            "Dir::Cache": scratch / "cache",
            "Dir::Etc::sourcelist": sources,
            # The machine's own configuration may have hooks that delete downloaded packages.
            **dict.fromkeys(("Dir::Etc::main", "Dir::Etc::parts"), os.devnull),
            **dict.fromkeys(("Dir::Etc::sourceparts", "Dir::Etc::preferencesparts"), os.devnull),
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
        }
        configuration = scratch / "apt.conf"
        configuration.write_text(
            "".join(f'{name} "{value}";\n' for name, value in options.items()) + _acquire_options()
        )
        self._environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}

    def run(self, *arguments: str) -> None:
        command = ["apt-get", "--quiet", "--assume-yes", *arguments]
        run(command, "apt-get failed (Debian packages)", self.archives, self._environment)


def _acquire_options() -> str:
    """Return the machine's proxy and transport settings as configuration."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, errors="replace")
    return "".join(f"{x}\n" for x in dump.stdout.splitlines() if x.startswith("Acquire::"))
