"""Taking out of the cache what nobody uses any more.

The cache is shared by every checkout of the project, at whatever version: that this one's table
does not name a tool says nothing about the others. So what counts is when it was last used.
"""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.model import Tool

UNUSED_DAYS = 30
"""A checkout that rests for longer builds its tools again."""

_DAY_SECONDS = 24 * 60 * 60


def prune(cache: Cache, tools: Iterable[Tool]) -> list[Path]:
    """Delete versions of tools, and directories of links, that no checkout used for a while.

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
    entries = {*cache.root.glob("tools/*/*"), *cache.root.glob("bin/*")} - kept
    try:
        unused = sorted(entry for entry in entries if entry.stat().st_mtime < oldest)
        for entry in unused:
            shutil.rmtree(entry)
    except OSError as error:
        raise ToolchainError(f"old tools could not be removed: {error}") from error
    return unused
