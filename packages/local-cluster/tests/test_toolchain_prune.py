"""Pruning deletes unused entries of the cache, and no others.

Time is played by the directories' times; a checkout that starts a tool in the very moment in which
it is dropped, after a month's rest, is not shown.
"""

import os
import time
from pathlib import Path

import pytest

import tiny_tool
from local_cluster.toolchain.api import bin_dir
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.prune import UNUSED_DAYS, prune


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Tool]:
    return tiny_tool.table(tiny_tool.write_module(tmp_path / "module"))


def entry(cache: Cache, name: str) -> Path:
    """A directory of the cache that was last used long ago."""
    directory = cache.root / name
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "tool").write_text("")
    rest(directory)
    return directory


def rest(directory: Path, days: float = UNUSED_DAYS + 1) -> None:
    then = time.time() - days * 24 * 60 * 60
    os.utime(directory, (then, then))


def test_entries_that_no_checkout_has_used_for_long_are_deleted(
    cache: Cache, table: dict[str, Tool]
):
    old = [entry(cache, "bin/0123"), entry(cache, "tools/tiny/0.9.0-abc")]
    assert prune(cache, table.values()) == old
    assert not any(directory.exists() for directory in old)
    assert prune(cache, table.values()) == []


def test_entries_that_another_checkout_uses_stay(cache: Cache, table: dict[str, Tool]):
    theirs = entry(cache, "tools/tiny/0.9.0-abc")
    rest(theirs, UNUSED_DAYS - 1)
    assert prune(cache, table.values()) == []
    assert theirs.is_dir()


def test_the_tools_of_this_version_stay_however_long_they_are_unused(
    cache: Cache, table: dict[str, Tool]
):
    own = entry(cache, str(cache.directory_of(table["tiny"]).relative_to(cache.root)))
    assert prune(cache, table.values()) == []
    assert own.is_dir()


def test_other_parts_of_the_cache_are_left(cache: Cache, table: dict[str, Tool]):
    names = ("go/1.26.6", "uv/0.13.9", "build/run-x", "images/build/run-x")
    others = [entry(cache, name) for name in names]
    rest(cache.root / "images" / "build")
    assert prune(cache, table.values()) == []
    assert all(directory.is_dir() for directory in others)


def test_a_request_for_a_tool_counts_as_its_use(
    cache: Cache, table: dict[str, Tool], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    directory = cache.directory_of(table["tiny"])
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "tiny").write_text("")
    links = bin_dir("tiny", table=table, cache=cache)
    for used in (directory, links):
        rest(used)
    assert bin_dir("tiny", table=table, cache=cache) == links
    assert prune(cache, []) == []
