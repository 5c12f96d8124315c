"""Images without a registry: files in one layer, in the format of `docker save`."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's name of an architecture, by Python's name."""

_UNUSED = (
    *("boot", "dev", "packages.txt", "proc", "sys"),
    *(
        f"usr/share/{name}"
        for name in ("common-licenses", "doc", "info", "lintian", "locale", "man")
    ),
)


@dataclass(frozen=True)
class Part:
    """A file or a folder of an image."""

    source: Path
    target: str
    """Path in the image, without the leading slash; empty for its root."""


def write(
    archive: Path,
    name: str,
    parts: Sequence[Part],
    environment: Mapping[str, str],
    user: str,
    entry_point: Sequence[str] = (),
) -> None:
    """Write the archive of an image; the same parts result in the same image.

    Args:
        archive: File to write.
        name: Name of the image, with its tag.
        parts: Content of the image; a later part may add to folders of an earlier one.
        environment: Environment variables of its processes.
        user: Numeric user of its processes, unless the pod names one.
        entry_point: Entry point, unless the pod names a command.
    """
    layer = archive.with_name("layer.tar")
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as tar:
        for part in parts:
            _add(tar, part)
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "User": user,
            "Entrypoint": list(entry_point),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for file, content in (("manifest.json", manifest), ("config.json", config)):
            text = json.dumps(content).encode()
            entry = tarfile.TarInfo(file)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        tar.add(layer, "layer.tar", filter=_plain)
    layer.unlink()


def _add(tar: tarfile.TarFile, part: Part) -> None:
    paths = [part.source]
    if part.source.is_dir():
        paths += sorted(part.source.rglob("*"))
    for path in paths:
        inside = path.relative_to(part.source)
        if any(inside.is_relative_to(unused) for unused in _UNUSED):
            continue
        target = str(Path(part.target, inside))
        if target != ".":
            tar.add(path, target, recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
