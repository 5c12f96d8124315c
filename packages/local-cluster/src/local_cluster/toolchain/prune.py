"""Taking out of the cache what nobody uses any more.

The cache is shared by every checkout of the project, at whatever version: that this one's table
does not name a tool says nothing about the others. So what counts is when it was last used.
"""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool

UNUSED_DAYS = 30
"""A checkout that rests for longer builds its tools again."""

_PLACES = ("tools/*/*", "bin/*", "images/*-*", "debian/*-*", "wheels/*-*")
"""Directories whose use is noted. A build's own, beside them, have no hash in their names."""

_DAY_SECONDS = 24 * 60 * 60


def prune(cache: Cache, tools: Iterable[Tool]) -> list[Path]:
    """Delete what no checkout used for a while: tools, directories of links, parts of a local node.

    Args:
        cache: where they are kept.
        tools: those that stay, used or not: this checkout's own.

    Returns:
        What was deleted.

    Raises:
        ToolchainError: one could not be deleted.
    """
    oldest = time.time() - UNUSED_DAYS * _DAY_SECONDS
    kept = {cache.directory_of(tool) for tool in tools}
    entries = {entry for place in _PLACES for entry in cache.root.glob(place)} - kept
    try:
        unused = sorted(entry for entry in entries if entry.stat().st_mtime < oldest)
        for entry in unused:
            shutil.rmtree(entry)
    except OSError as error:
        raise ToolchainError(f"what is old could not be removed: {error}") from error
    return unused
