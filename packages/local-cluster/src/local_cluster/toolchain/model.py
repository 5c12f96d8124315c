"""Types of the table of tools."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

from local_cluster.toolchain import gomod


class Accepts(Enum):
    """Versions of a tool on PATH that are accepted in place of the pinned version."""

    EXACT = "the pinned version"
    """For a tool whose version decides its result, or whose version another program requires."""
    SAME_MINOR = "the pinned minor version, any patch"
    SAME_MAJOR = "the pinned major version, not older"

    def allows(self, found: str, pinned: str) -> bool:
        """Tell whether version `found` (X.Y.Z) is accepted in place of `pinned` (X.Y.Z)."""
        have, want = gomod.version_tuple(found), gomod.version_tuple(pinned)
        match self:
            case Accepts.EXACT:
                return have == want
            case Accepts.SAME_MINOR:
                return have[:2] == want[:2]
            case Accepts.SAME_MAJOR:
                return have[0] == want[0] and have >= want


@dataclass(frozen=True)
class Probe:
    """Command that prints the version of a binary, and the pattern of its output."""

    arguments: tuple[str, ...]
    pattern: str
    """Pattern of the output; group 1 is the version, X.Y.Z. A pre-release does not match."""


@dataclass(frozen=True)
class GoModule:
    """Directory with the go.mod and go.sum of tools."""

    directory: Path
    build_mib: int
    """Disk that a build of its tools takes at its peak: Go's build cache, module cache and
    temporary files. Measured on linux/amd64 with Go 1.26, rounded up."""
    installed_mib: int
    """Disk that its tools take once built."""

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.directory.name

    @property
    def mod(self) -> gomod.GoMod:
        """Content of its go.mod."""
        return gomod.read(self.directory)

    @cached_property
    def digest(self) -> str:
        """Digest of the platform and of all files in the directory."""
        digest = hashlib.sha256(f"{platform.system()}/{platform.machine()}".encode())
        for file in sorted(path for path in self.directory.rglob("*") if path.is_file()):
            name = file.relative_to(self.directory)
            digest.update(f"\0{name}\0".encode() + file.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ModuleFiles:
    """Files of a required module, joined in the order of their names.

    They are one script, or several files that become one YAML stream.
    """

    module: str
    pattern: str

    @property
    def recipe(self) -> list[str]:
        """Description of the contents; a change makes another version."""
        return [self.module, self.pattern]


@dataclass(frozen=True)
class ModuleArchive:
    """Folder of a required module, as a gzipped tar archive that contains the folder itself."""

    module: str
    folder: str

    @property
    def recipe(self) -> list[str]:
        """Description of the contents; a change makes another version."""
        return [self.module, self.folder, "archive"]


@dataclass(frozen=True)
class GoPackage:
    """Main package to build."""

    path: str
    """Import path; `.` for the main package of the module."""
    ldflags: tuple[str, ...] = ()
    """`-X` settings, as `name=value`, with placeholders `{version}`, `{major}` and `{minor}`."""
    embeds: Mapping[str, ModuleFiles] = field(default_factory=dict[str, ModuleFiles])
    """Files to put beside the main package before the build, by file name."""
    tags: tuple[str, ...] = ()
    """Build tags."""

    @property
    def recipe(self) -> list[str]:
        """Description of the contents; a change makes another version."""
        return [self.path, *self.ldflags, *self.tags, *_described(self.embeds)]


@dataclass(frozen=True)
class Tool:
    """One row of the table."""

    name: str
    group: str
    module: GoModule
    requirement: str
    """Path of the required module whose release is the version of the tool."""
    source: GoPackage | ModuleFiles | ModuleArchive
    probe: Probe | None = None
    """Probe of binaries on PATH; None if only the pinned build is used."""
    accepts: Accepts = Accepts.EXACT
    companions: Mapping[str, ModuleFiles] = field(default_factory=dict[str, ModuleFiles])
    """Scripts that the tool expects in its own directory, by file name."""
    set_with: str = ""
    """Name of a tool that this one is released with. On PATH, each of the two is accepted only with
    the other beside it."""
    filename: str = ""
    """File name of a tool that is not a program."""

    @property
    def version(self) -> str:
        """Pinned release, X.Y.Z."""
        return self.module.mod.release(self.requirement)

    @property
    def is_program(self) -> bool:
        """True if it belongs on PATH."""
        return not self.filename

    @property
    def relative_path(self) -> Path:
        """Path in the tool's directory of the cache."""
        return Path("bin", self.name) if self.is_program else Path("share", self.filename)

    @property
    def cache_key(self) -> str:
        """Name of this version, built from these sources in this way."""
        how = [*self.source.recipe, *_described(self.companions)]
        recipe = [self.module.digest, str(self.relative_path), *how]
        return f"{self.version}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"


def _described(files: Mapping[str, ModuleFiles]) -> list[str]:
    return [f"{name}={entry.module}/{entry.pattern}" for name, entry in sorted(files.items())]
