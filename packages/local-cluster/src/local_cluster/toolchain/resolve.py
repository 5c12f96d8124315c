"""Finds tools: on PATH at an accepted version, else in the cache."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.model import Probe, Tool

PROBE_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Found:
    """Tool that needs no build."""

    path: Path
    origin: str
    """`PATH` or `cache`."""
    version: str
    """X.Y.Z; for a tool that is part of a set on PATH, the version of the set."""


def resolve(tools: Sequence[Tool], cache: Cache) -> dict[str, Found]:
    """Return the existing ones of some tools, by name; the others have to be built."""
    found: dict[str, Found] = {}
    for tool in tools:
        if tool.set_with in found and found[tool.set_with].origin == "PATH":
            leader = found[tool.set_with]
            found[tool.name] = Found(leader.path.with_name(tool.name), "PATH", leader.version)
        elif hit := (
            _on_path(tool, _required_beside(tool, tools), cache) or _in_cache(tool, cache)
        ):
            found[tool.name] = hit
    return found


def _required_beside(tool: Tool, tools: Sequence[Tool]) -> list[str]:
    followers = [other for other in tools if other.set_with == tool.name]
    return [name for other in followers for name in (other.name, *other.companions)]


def _in_cache(tool: Tool, cache: Cache) -> Found | None:
    path = cache.find(tool)
    return Found(path, "cache", tool.version) if path else None


def _on_path(tool: Tool, beside: Sequence[str], cache: Cache) -> Found | None:
    if tool.probe is None:
        return None
    for directory in map(Path, os.get_exec_path()):
        candidate = directory / tool.name
        # The cache's own links may be on PATH; they are not the user's choice.
        if candidate.is_relative_to(cache.root) or not os.access(candidate, os.X_OK):
            continue
        if not all(os.access(directory / name, os.X_OK) for name in beside):
            continue
        version = version_of(candidate, tool.probe)
        if version and tool.accepts.allows(version, tool.version):
            return Found(candidate.absolute(), "PATH", version)
    return None


def version_of(binary: Path, probe: Probe) -> str | None:
    """Return the version that a binary prints; None if it is no release, or if it does not run."""
    # The output must not depend on the network, nor mention updates.
    environment: Mapping[str, str] = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        result = subprocess.run(
            [binary, *probe.arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(probe.pattern, result.stdout + result.stderr, re.MULTILINE)
    return match[1] if match else None
