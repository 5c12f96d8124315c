"""Functions for users of the toolchain."""

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
from local_cluster.toolchain.select import select
from local_cluster.toolchain.table import TABLE
from local_cluster.uv import ensure_uv


def ensure(
    *names: str,
    table: Mapping[str, Tool] = TABLE,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Build missing tools, and return the paths of all.

    Args:
        names: Tools and groups of the table; the whole table if empty.
        table: Table of tools.
        cache: Cache of the tools; the user's if unset.
        progress: Progress report; on standard error if unset.

    Returns:
        Path by name, companions included.

    Raises:
        ToolchainError: A tool could not be built; the text is the whole message.
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
        raise ToolchainError(f"the tools could not be provided: {error}") from error
    return _paths(tools, found)


def bin_dir(*names: str, table: Mapping[str, Tool] = TABLE, cache: Cache | None = None) -> Path:
    """Return one directory with links to tools and to uv; build missing tools.

    First on PATH, it makes Pulumi find the matching language host, provider and uv. Its name
    depends on the targets of its links, so the content of a directory never changes.

    Raises:
        ToolchainError: A tool could not be built, or uv could not be installed.
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
        raise ToolchainError(f"the tools' directory could not be created: {error}") from error
    return directory


def link_plugins(pulumi_home: Path, *, cache: Cache | None = None) -> None:
    """Link the pinned providers into Pulumi's plugin folder, so that it uses no other.

    It suits a PULUMI_HOME of a project's own, with PULUMI_IGNORE_AMBIENT_PLUGINS set: Pulumi warns
    about each plugin that it finds on PATH.

    Raises:
        ToolchainError: A provider could not be built.
    """
    providers = [name for name in TABLE if name.startswith("pulumi-resource-")]
    for name, path in ensure(*providers, cache=cache).items():
        # Pulumi reads kind, name and version from the name of the directory.
        kind = name.removeprefix("pulumi-")
        link = pulumi_home / "plugins" / f"{kind}-v{TABLE[name].version}" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or link.readlink() != path:
            new = link.with_name(f"{name}.{os.getpid()}")
            new.symlink_to(path)
            new.replace(link)


def path_with(directory: Path) -> str:
    """Return the user's PATH with a directory put first."""
    return os.pathsep.join([str(directory), os.environ.get("PATH", os.defpath)])


def _link(path: Path, link: Path, cache: Cache) -> None:
    # Pulumi and its language host search for their parts beside their own executable, after
    # resolving links. A symbolic link would lead them to the tool's own folder in the cache.
    if path.is_relative_to(cache.root / "tools"):
        link.hardlink_to(path)
    else:
        link.symlink_to(path)


def _build_missing(tools: Sequence[Tool], cache: Cache, progress: Progress) -> None:
    def waiting(holder: str) -> None:
        progress.say(f"waiting for another build of the tools to end (started by process {holder})")

    with cache.locked(waiting) as lock:
        # Again, since the last holder of the lock may have built them.
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
