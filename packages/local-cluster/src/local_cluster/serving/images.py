"""Images that the local node can run: the content of each, under a name of its own.

Each is built once into the cache, from pinned parts: Go modules, the caller's Envoy and one wheel
of PyPI's. Of Debian only the release is pinned; see `debian.py`. No registry serves them, so
none has a registry's name.
"""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_cluster import toolchain
from local_cluster.errors import LocalClusterError
from local_cluster.serving import archive, debian, triton
from local_cluster.serving.archive import Part
from local_cluster.spec import ClusterSpec, Envoy
from local_cluster.storage import cache_root
from local_cluster.toolchain.cache import Cache

REGISTRY = "kubemind.local"
"""Begins the name of every image. It looks like a registry's host and resolves to none, so nothing
is ever pulled in its place."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = "65532"

Tools = Mapping[str, Path]


@dataclass(frozen=True)
class Recipe:
    """Name and content of one image."""

    repository: str
    version: str
    programs: Mapping[str, str]
    """Path in the image by name of a program: one of `binaries`, or else a tool."""
    packages: tuple[str, ...] = ()
    """Debian packages, with their dependencies."""
    has_triton: bool = False
    entry_point: tuple[str, ...] = ()
    """Entry point, unless the pod names a command."""
    # Not in its text, which is part of the key: a better figure is no other image.
    mib: int = field(kw_only=True, repr=False)
    """Size of its archive, MiB, measured on linux/amd64 and rounded up."""
    # Likewise: the version in the name stands for the content.
    binaries: Mapping[str, Path] = field(default_factory=dict[str, Path], kw_only=True, repr=False)
    """Programs that the caller provides, by name."""

    @property
    def name(self) -> str:
        """Reference of the image."""
        return f"{REGISTRY}/{self.repository}:{self.version}"

    @property
    def tools(self) -> list[str]:
        """Tools that it contains."""
        return [name for name in self.programs if name not in self.binaries]

    def parts(self, tools: Tools, report: Callable[[str], None]) -> list[Part]:
        """Make its content available; return the parts."""
        parts: list[Part] = []
        if self.packages:
            folder = debian.unpack("image", self.packages, report, closure=True)
            parts.append(Part(folder, ""))
        if self.has_triton:
            parts += triton.parts(report)
        for name, target in self.programs.items():
            source = self.binaries.get(name) or tools[name]
            parts.append(Part(source.resolve(), target))
        return parts

    def key(self, tools: Tools) -> str:
        """Return a key that changes with its content."""
        made_of = [self, debian.SUITE, triton.WHEEL if self.has_triton else "", platform.machine()]
        made_of += [tools[name].resolve() for name in self.tools]
        # The modules that pack it are part of the key, since they decide its content.
        names = (part.__name__.rpartition(".")[2] for part in (archive, debian, triton))
        packing = [Path(__file__).with_name(f"{name}.py").read_text() for name in names]
        return hashlib.sha256(repr((made_of, packing)).encode()).hexdigest()[:12]


_SHELL = ("bash", "coreutils")


def _tool_version(name: str) -> str:
    return toolchain.TABLE[name].version


PAUSE = Recipe(
    "pause",
    "1",
    {},
    _SHELL,
    entry_point=("bash", "-c", "trap exit TERM; sleep infinity & wait"),
    mib=25,
)
"""Image that sleeps. It holds a pod's namespaces, and stands in for a device plugin."""

COREDNS = Recipe("coredns", _tool_version("coredns"), {"coredns": "coredns"}, mib=75)
KEDA = Recipe(
    "keda", _tool_version("keda"), {"keda": "keda", "keda-adapter": "keda-adapter"}, mib=270
)


def recipes(envoy: Envoy | None = None) -> tuple[Recipe, ...]:
    """Return the recipes of every image that the node can run.

    Args:
        envoy: Envoy for the image of that name; without it there is no such image.
    """
    found = [
        PAUSE,
        COREDNS,
        KEDA,
        Recipe(
            "prometheus",
            _tool_version("prometheus"),
            {"prometheus": "bin/prometheus"},
            entry_point=("/bin/prometheus",),
            mib=70,
        ),
    ]
    if envoy:
        # bash and sleep are for the preStop hook, which drains it.
        programs, binaries = {"envoy": "usr/bin/envoy"}, {"envoy": envoy.path}
        found.append(Recipe("envoy", envoy.version, programs, _SHELL, mib=130, binaries=binaries))
    found.append(
        Recipe("triton-cpu", triton.VERSION, {}, triton.PACKAGES, has_triton=True, mib=260)
    )
    return tuple(found)


def require_known(spec: ClusterSpec) -> None:
    """Refuse a specification that names images which the local node cannot build.

    Raises:
        LocalClusterError: The text names each place, its image, and all images.
    """
    known = [recipe.name for recipe in recipes(spec.envoy)]
    if wrong := {key: image for key, image in spec.images.items() if image not in known}:
        listed = "".join(f"\n  {key} = {image}" for key, image in wrong.items())
        raise LocalClusterError(
            f"LOCAL=serving runs images that it builds, not images of a registry, and has none for:"
            f"{listed}\nThere are: {', '.join(known)}. Name these, or set LOCAL=simulated."
        )


def archive_of(recipe: Recipe, tools: Tools) -> Path:
    """Return the path of an image's archive, which may not exist yet."""
    name = f"{recipe.repository}-{recipe.version}-{recipe.key(tools)}"
    return _cache().root / name / "image.tar"


def _cache() -> Cache:
    return Cache(cache_root() / "images")


def ensure(
    tools: Tools, report: Callable[[str], None], recipes: Sequence[Recipe]
) -> dict[str, Path]:
    """Return the archive of each image by its name; build missing archives.

    Raises:
        LocalClusterError: A part of an image could not be downloaded.
    """
    cache = _cache()
    archives: dict[str, Path] = {}
    for recipe in recipes:
        archives[recipe.name] = archive_of(recipe, tools)
        folder = archives[recipe.name].parent
        if folder.is_dir():
            cache.note_use(folder)
            continue
        with cache.locked(lambda holder: report(f"waiting for process {holder} to build images")):
            if folder.is_dir():
                continue
            report(f"building the image {recipe.name}, once, into {folder}")
            staged = cache.scratch() / "image"
            staged.mkdir()
            environment = {"PATH": _PATH, **(triton.ENVIRONMENT if recipe.has_triton else {})}
            parts = recipe.parts(tools, report)
            archive.write(
                staged / "image.tar", recipe.name, parts, environment, _NOBODY, recipe.entry_point
            )
            cache.install(staged, folder)
    return archives
