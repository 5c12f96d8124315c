"""Deletes unused entries of the cache.

Checkouts of different versions share the cache, so an entry that this version does not know may
still be in use. The time of its last use decides.
"""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool

UNUSED_DAYS = 30
"""Days without use after which an entry is deleted."""

_PLACES = ("tools/*/*", "bin/*", "images/*-*", "debian/*-*", "wheels/*-*")
"""Directories whose use is recorded. Scratch folders beside them have no hash in their names."""

_DAY_SECONDS = 24 * 60 * 60


def prune(cache: Cache, tools: Iterable[Tool]) -> list[Path]:
    """Delete tools, directories of links and parts of images that have not been used for a while.

    Args:
        cache: Cache of the entries.
        tools: Tools that stay even if unused.

    Returns:
        Deleted directories.

    Raises:
        ToolchainError: An entry could not be deleted.
    """
    oldest = time.time() - UNUSED_DAYS * _DAY_SECONDS
    kept = {cache.directory_of(tool) for tool in tools}
    entries = {entry for place in _PLACES for entry in cache.root.glob(place)} - kept
    try:
        unused = sorted(entry for entry in entries if entry.stat().st_mtime < oldest)
        for entry in unused:
            shutil.rmtree(entry)
    except OSError as error:
        raise ToolchainError(
            f"unused entries of the cache could not be deleted: {error}"
        ) from error
    return unused
