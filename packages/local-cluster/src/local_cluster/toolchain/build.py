"""Builds tools from their pinned Go modules, one after another.

While one module compiles, the sources of the next one are downloaded.
"""

import shutil
import signal
import tarfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.golang import Go, find_go
from local_cluster.toolchain.model import GoPackage, ModuleArchive, ModuleFiles, Tool
from local_cluster.toolchain.progress import Progress


def build(tools: Sequence[Tool], cache: Cache, lock: int, progress: Progress) -> None:
    """Build tools into the cache, module by module.

    If the disk has room, all modules share Go's caches, which are deleted at the end. Go then
    compiles the standard library and common dependencies once. Otherwise each module has caches of
    its own, which are deleted before the next module.

    Args:
        tools: Tools to build.
        cache: Cache, which the caller has locked.
        lock: File descriptor of that lock.
        progress: Progress report.

    Raises:
        ToolchainError: A build failed, or the disk has no room. Tools built before it are in place.
    """
    modules: dict[str, list[Tool]] = {}
    for tool in tools:
        modules.setdefault(tool.module.name, []).append(tool)
    peaks = [members[0].module.build_mib for members in modules.values()]
    installed = [members[0].module.installed_mib for members in modules.values()]
    cache.require_space(max(peaks) + sum(installed))
    shares = cache.free_mib >= sum(peaks) + sum(installed)
    with _unwinding():
        go = find_go(max(tool.module.mod.go for tool in tools), cache, progress.say)
        scratch = cache.scratch()
        groups = list(modules.values())
        for members, following in zip(groups, [*groups[1:], []], strict=True):
            used = Go(go, scratch, lock)
            try:
                # A directory that is deleted with the module must not hold the next one's sources.
                with _downloading(following if shares else [], cache, used):
                    for tool in members:
                        _build_one(tool, cache, used, progress)
            finally:
                if not shares:
                    shutil.rmtree(scratch, ignore_errors=True)
                    scratch = cache.scratch()


@contextmanager
def _downloading(tools: Sequence[Tool], cache: Cache, go: Go) -> Generator[None]:
    """Download the sources of one module's tools beside the work in the block."""
    # By kind: other sources are one small module each.
    packages = [tool.source for tool in tools if isinstance(tool.source, GoPackage)]
    if not packages:
        yield
        return
    work = cache.scratch()
    shutil.copytree(tools[0].module.directory, work, dirs_exist_ok=True)
    tags = sorted({tag for package in packages for tag in package.tags})
    with go.downloading([package.path for package in packages], tags, work):
        yield


def _build_one(tool: Tool, cache: Cache, go: Go, progress: Progress) -> None:
    progress.start(tool.name, f"building {tool.version} from its Go module")
    log = cache.log_of(tool)
    log.unlink(missing_ok=True)
    try:
        staged = cache.scratch() / tool.name
        _stage(tool, staged, cache.scratch(), go, log, progress)
        cache.install(staged, cache.directory_of(tool))
    except ToolchainError as error:
        raise ToolchainError(f"{tool.name} {tool.version}: {error}") from None
    progress.done()


@contextmanager
def _unwinding() -> Generator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that children end and caches are deleted."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for name in previous:
            signal.signal(name, _leave)
        yield
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stage(tool: Tool, staged: Path, work: Path, go: Go, log: Path, progress: Progress) -> None:
    """Put all files of a tool into `staged`, with a copy of its module in `work`."""
    # A copy, since Go may rewrite go.sum.
    shutil.copytree(tool.module.directory, work, dirs_exist_ok=True)
    target = staged / tool.relative_path
    target.parent.mkdir(parents=True)
    # By kind: a source is data; to build one takes Go, its cache and folders.
    match tool.source:
        case ModuleFiles():
            target.write_bytes(_contents(tool.source, tool, work, go, log))
        case ModuleArchive(module=module, folder=folder):
            with tarfile.open(target, "w:gz") as archive:
                archive.add(_module_directory(module, tool, work, go, log) / folder, folder)
        case GoPackage():
            for name, files in tool.source.embeds.items():
                (work / name).write_bytes(_contents(files, tool, work, go, log))
            compiled = _Compiled(progress)
            # Without -trimpath: with it Go compiles a package again for each version that a module
            # requires, even where a replace makes it the same (`buildActionID` in cmd/go).
            arguments = ["build", "-mod=readonly", "-buildvcs=false", "-v"]
            # The linker drops debug information (-s -w); not creating it saves a tenth of the time.
            arguments += ["-gcflags=all=-dwarf=false"]
            arguments += ["-ldflags", _ldflags(tool, tool.source), "-o", str(target)]
            arguments += ["-tags", ",".join(tool.source.tags)] if tool.source.tags else []
            go.run([*arguments, tool.source.path], work, log, compiled)
    for name, files in tool.companions.items():
        companion = target.with_name(name)
        companion.write_bytes(_contents(files, tool, work, go, log))
        companion.chmod(0o755)


def _contents(files: ModuleFiles, tool: Tool, work: Path, go: Go, log: Path) -> bytes:
    directory = _module_directory(files.module, tool, work, go, log)
    matches = sorted(directory.glob(files.pattern))
    if not matches:
        raise ToolchainError(f"{files.module} of {tool.module.name} holds no {files.pattern}")
    texts = [match.read_bytes() for match in matches]
    if len(texts) == 1:
        return texts[0]
    # Some files do not begin with the document marker.
    return b"".join(text if text.startswith(b"---") else b"---\n" + text for text in texts)


def _module_directory(module: str, tool: Tool, work: Path, go: Go, log: Path) -> Path:
    mod = tool.module.mod
    version = mod.replaces.get(module) or mod.requires[module]
    return go.module_directory(module, version, work, log)


def _ldflags(tool: Tool, package: GoPackage) -> str:
    major, minor, _ = tool.version.split(".")
    settings = (
        setting.format(version=tool.version, major=major, minor=minor)
        for setting in package.ldflags
    )
    return " ".join(["-s", "-w", *(f"-X {setting}" for setting in settings)])


class _Compiled:
    """Turns the output of `go build -v` into steps of the progress report."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._packages = 0

    def __call__(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self._progress.step(f"downloading {' '.join(line.split()[2:4])}")
        else:
            self._packages += 1
            self._progress.step(f"compiled {self._packages} packages, now {line}")
