"""What a row of the table of tools is made of."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

from local_cluster.toolchain import gomod


class Accepts(Enum):
    """Which versions of a tool found on PATH do in place of the pinned one."""

    EXACT = "the pinned version"
    """Where the version decides the result (a linter) or another program asks for it by number."""
    SAME_MINOR = "the pinned minor version, any patch"
    SAME_MAJOR = "the pinned major version, not older"

    def allows(self, found: str, pinned: str) -> bool:
        """Whether version `found` (X.Y.Z) does in place of `pinned` (X.Y.Z)."""
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
    """How a binary on PATH is asked for its version."""

    arguments: tuple[str, ...]
    pattern: str
    """Matches its output; group 1 is the version, X.Y.Z. A pre-release does not match."""


@dataclass(frozen=True)
class GoModule:
    """A directory with the go.mod and go.sum that tools are built from."""

    directory: Path
    build_mib: int
    """Disk that a build of its tools from nothing takes at its peak: Go's build cache, module cache
    and temporary files. Measured on linux/amd64 with Go 1.26, rounded up."""
    installed_mib: int
    """Disk that its tools take for good."""

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.directory.name

    @property
    def mod(self) -> gomod.GoMod:
        """What its go.mod states."""
        return gomod.read(self.directory)

    @cached_property
    def digest(self) -> str:
        """Changes with whatever in the directory decides what is built."""
        digest = hashlib.sha256(f"{platform.system()}/{platform.machine()}".encode())
        for file in sorted(path for path in self.directory.rglob("*") if path.is_file()):
            name = file.relative_to(self.directory)
            digest.update(f"\0{name}\0".encode() + file.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ModuleFiles:
    """Files of a required module, one after another in name order.

    A script, or a YAML stream of several files.
    """

    module: str
    pattern: str


@dataclass(frozen=True)
class ModuleArchive:
    """A folder of a required module, as a gzipped tar archive that holds the folder itself."""

    module: str
    folder: str


@dataclass(frozen=True)
class GoPackage:
    """A main package to build."""

    path: str
    """Import path; `.` for the module's own main."""
    ldflags: tuple[str, ...] = ()
    """`-X` settings, as `name=value`; `{version}`, `{major}` and `{minor}` are filled in."""
    embeds: Mapping[str, ModuleFiles] = field(default_factory=dict[str, ModuleFiles])
    """Files to put beside the module's own main before it is built, by file name."""
    tags: tuple[str, ...] = ()
    """Build tags."""


@dataclass(frozen=True)
class Tool:
    """One row of the table."""

    name: str
    group: str
    module: GoModule
    requirement: str
    """Path of the required module whose release is the tool's version."""
    source: GoPackage | ModuleFiles | ModuleArchive
    probe: Probe | None = None
    """None: only the pinned build does; nothing on PATH is looked at."""
    accepts: Accepts = Accepts.EXACT
    companions: Mapping[str, ModuleFiles] = field(default_factory=dict[str, ModuleFiles])
    """Scripts that the tool looks for in its own directory, by file name."""
    set_with: str = ""
    """Name of a tool that this one is released with: it is taken from beside that tool on PATH,
    and that tool is taken from PATH only with this one beside it."""
    filename: str = ""
    """File name, where it is not the tool's name: for what is not a program."""

    @property
    def version(self) -> str:
        """The pinned release, X.Y.Z."""
        return self.module.mod.release(self.requirement)

    @property
    def is_program(self) -> bool:
        """Whether it belongs on PATH."""
        return not self.filename

    @property
    def relative_path(self) -> Path:
        """Where it lies in the tool's directory of the cache."""
        return Path("bin", self.name) if self.is_program else Path("share", self.filename)

    @property
    def cache_key(self) -> str:
        """Names this version built from exactly these sources in this way."""
        match self.source:
            case GoPackage():
                package = self.source
                how = [package.path, *package.ldflags, *package.tags, *_described(package.embeds)]
            case ModuleFiles():
                how = [self.source.module, self.source.pattern]
            case ModuleArchive():
                how = [self.source.module, self.source.folder, "archive"]
        recipe = [self.module.digest, str(self.relative_path), *how, *_described(self.companions)]
        return f"{self.version}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"


def _described(files: Mapping[str, ModuleFiles]) -> list[str]:
    return [f"{name}={entry.module}/{entry.pattern}" for name, entry in sorted(files.items())]
