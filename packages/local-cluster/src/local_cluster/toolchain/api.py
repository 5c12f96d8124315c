"""What the rest of the project calls."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.toolchain.build import build
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.progress import Progress
from local_cluster.toolchain.resolve import Found, resolve
from local_cluster.toolchain.table import TABLE, select
from local_cluster.uv import ensure_uv


def ensure(
    *names: str,
    table: Mapping[str, Tool] = TABLE,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Make tools ready, building what is missing.

    Args:
        names: tools and groups of the table; none means all of it.
        table: the tools there are.
        cache: where they are kept; the user's by default.
        progress: where to report; standard error by default.

    Returns:
        Path by name, companions included.

    Raises:
        ToolchainError: one is not to be had; the text is the whole message.
    """
    cache = cache or Cache()
    tools = select(names, table)
    try:
        cache.clear_leftovers()
        found = resolve(tools, cache)
        if len(found) < len(tools):
            with progress or Progress() as shown:
                _build_missing(tools, cache, shown)
            found = resolve(tools, cache)
    except OSError as error:
        raise ToolchainError(f"the tools could not be made ready: {error}") from error
    return _paths(tools, found)


def bin_dir(*names: str, table: Mapping[str, Tool] = TABLE, cache: Cache | None = None) -> Path:
    """Make tools ready and return one directory that links to each of them, and to uv.

    Put first on PATH it makes Pulumi find the language host, the provider and the uv that belong
    together. Its name changes with what it links to, so a directory never changes.

    Raises:
        ToolchainError: as `ensure` does, and where uv is missing and cannot be installed.
    """
    cache = cache or Cache()
    paths = ensure(*names, table=table, cache=cache)
    programs = {
        name: path for name, path in paths.items() if name not in table or table[name].is_program
    }
    try:
        programs["uv"] = ensure_uv()
        content = "\n".join(f"{name}={path}" for name, path in sorted(programs.items()))
        directory = cache.root / "bin" / hashlib.sha256(content.encode()).hexdigest()[:12]
        if directory.is_dir():
            cache.note_use(directory)
        else:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
                staged = Path(scratch, "links")
                staged.mkdir()
                for name, path in programs.items():
                    _link(path, staged / name, cache)
                cache.install(staged, directory)
    except (OSError, RuntimeError) as error:
        raise ToolchainError(f"the tools' directory could not be made: {error}") from error
    return directory


def link_plugins(pulumi_home: Path, *, cache: Cache | None = None) -> None:
    """Put the pinned providers where Pulumi keeps plugins, so that it finds no other.

    Meant for a PULUMI_HOME of the project's own, with PULUMI_IGNORE_AMBIENT_PLUGINS set: Pulumi
    warns of each plugin that it takes from PATH.

    Raises:
        ToolchainError: as `ensure` does.
    """
    providers = [name for name in TABLE if name.startswith("pulumi-resource-")]
    for name, path in ensure(*providers, cache=cache).items():
        # The directory's name is how Pulumi knows kind, name and version.
        kind = name.removeprefix("pulumi-")
        link = pulumi_home / "plugins" / f"{kind}-v{TABLE[name].version}" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or link.readlink() != path:
            new = link.with_name(f"{name}.{os.getpid()}")
            new.symlink_to(path)
            new.replace(link)


def path_with(directory: Path) -> str:
    """The user's PATH with a directory put first."""
    return os.pathsep.join([str(directory), os.environ.get("PATH", os.defpath)])


def _link(path: Path, link: Path, cache: Cache) -> None:
    # Pulumi and its language host look for their parts beside their own executable, links
    # resolved: what lies in directories of its own in the cache must not resolve to there.
    if path.is_relative_to(cache.root / "tools"):
        link.hardlink_to(path)
    else:
        link.symlink_to(path)


def _build_missing(tools: Sequence[Tool], cache: Cache, progress: Progress) -> None:
    def waiting(holder: str) -> None:
        progress.say(f"waiting for another build of the tools to end (started by process {holder})")

    with cache.locked(waiting) as lock:
        # Anew: whoever held the lock may have built them.
        found = resolve(tools, cache)
        missing = [tool for tool in tools if tool.name not in found]
        if not missing:
            return
        progress.say(
            f"building {len(missing)} tools into {cache.root}, once: "
            f"{', '.join(tool.name for tool in missing)}"
        )
        build(missing, cache, lock, progress)


def _paths(tools: Sequence[Tool], found: Mapping[str, Found]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for tool in tools:
        paths[tool.name] = found[tool.name].path
        paths |= {name: found[tool.name].path.with_name(name) for name in tool.companions}
    return paths
