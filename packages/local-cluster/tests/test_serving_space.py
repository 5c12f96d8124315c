"""Disk space that the serving cluster asks for before any part of it is built.

Not proved here: that it is enough. The figures were measured; no test fills a disk with images.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from local_cluster import toolchain
from local_cluster.cluster import NEEDED_MIB, Cluster
from local_cluster.errors import LocalClusterError
from local_cluster.serving import images, machine
from local_cluster.spec import ClusterSpec, Envoy
from local_cluster.storage import cache_root
from local_cluster.toolchain import ToolchainError

SPEC = ClusterSpec(envoy=Envoy(path=Path("/envoy"), version="1.40.0"))
RECIPES = images.recipes(SPEC.envoy)
IMAGES_MIB = sum(recipe.mib for recipe in RECIPES)
TOOLS = {name: Path("/tools", name) for recipe in RECIPES for name in recipe.programs}


class _BegunError(Exception):
    """There was disk enough to begin."""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Bring a serving cluster up, on a machine that can, as far as its first act; by free MiB."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "require", lambda: None)
    monkeypatch.setattr(toolchain, "ensure", lambda *_: TOOLS)

    def run(*_: object) -> None:
        raise _BegunError

    monkeypatch.setattr(Cluster, "_run", run)

    def begun(free_mib: int) -> None:
        usage = SimpleNamespace(free=free_mib * 2**20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        Cluster(tmp_path / "state", "serving").up(SPEC)

    return begun


def needs(begin: Callable[[int], None], need_mib: int) -> None:
    with pytest.raises(_BegunError):
        begin(need_mib)
    with pytest.raises((LocalClusterError, ToolchainError), match="not enough disk"):
        begin(need_mib - 1)


def build(recipes: tuple[images.Recipe, ...]) -> None:
    for recipe in recipes:
        archive = images.archive_of(recipe, TOOLS)
        archive.parent.mkdir(parents=True)
        archive.touch()


def test_the_first_cluster_needs_disk_for_building_and_for_importing_images(
    begin: Callable[[int], None], tmp_path: Path
) -> None:
    needs(begin, NEEDED_MIB + 4 * IMAGES_MIB)
    # Nothing was built to find that out.
    assert not cache_root().exists()
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["local.lock"]


def test_existing_images_need_no_more_disk(begin: Callable[[int], None], tmp_path: Path) -> None:
    first, *others = RECIPES
    build(tuple(others))
    needs(begin, NEEDED_MIB + 2 * first.mib + 2 * IMAGES_MIB)
    build((first,))
    needs(begin, NEEDED_MIB + 2 * IMAGES_MIB)
    node = Cluster(tmp_path / "state", "serving").paths.root / "node"
    for recipe in RECIPES:
        mark = node / "imported" / images.archive_of(recipe, TOOLS).parent.name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    needs(begin, NEEDED_MIB)


def test_a_cache_on_a_disk_of_its_own_needs_room_for_building_only(
    begin: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat(path: object, **options: bool) -> object:
        found = real(path, **options)
        return SimpleNamespace(st_dev=-1) if path == cache_root() else found

    cache_root().mkdir(parents=True)
    monkeypatch.setattr(os, "stat", stat)
    needs(begin, NEEDED_MIB + 2 * IMAGES_MIB)
    with pytest.raises(ToolchainError, match=r"to build the images of LOCAL=serving: .* needs 1"):
        begin(2 * IMAGES_MIB - 1)


def test_the_key_of_an_image_does_not_depend_on_its_estimated_size() -> None:
    assert "mib" not in repr(images.PAUSE)
