"""A tool is taken from PATH at an accepted version, else from the cache.

The binaries are scripts that only tell a version: what the real ones answer is read by the
integration tests.
"""

import os
from pathlib import Path

import pytest

import tiny_tool
from local_cluster import uv as uv_tool
from local_cluster.toolchain.api import bin_dir, ensure, link_plugins
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.resolve import resolve
from local_cluster.toolchain.select import select
from local_cluster.toolchain.table import TABLE


def put(directory: Path, name: str, answer: str = "") -> Path:
    """An executable that prints one line."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(0o755)
    return file


def put_in_cache(cache: Cache, tool: Tool) -> Path:
    """The tool as a finished build leaves it."""
    directory = cache.directory_of(tool) / "bin"
    for name in tool.companions:
        put(directory, name)
    return put(directory, tool.name, "from the cache")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tiny(tmp_path: Path) -> Tool:
    return tiny_tool.table(tiny_tool.write_module(tmp_path / "module"))["tiny"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two directories that are all of PATH, but for the system's."""
    directories = [tmp_path / "first", tmp_path / "second"]
    for directory in directories:
        directory.mkdir()
    system = [directory for directory in ("/usr/bin", "/bin") if Path(directory).is_dir()]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, directories), *system]))
    return directories


def test_an_accepted_version_on_path_is_used_before_the_cache(
    tiny: Tool, cache: Cache, path: list[Path]
):
    put_in_cache(cache, tiny)
    binary = put(path[0], "tiny", "tiny 1.2.9")
    hit = resolve([tiny], cache)["tiny"]
    assert (hit.path, hit.origin, hit.version) == (binary, "PATH", "1.2.9")


@pytest.mark.parametrize("answer", ["tiny 1.3.0", "tiny 1.2.3-rc.1", "no version", ""])
def test_any_other_answer_on_path_leaves_the_cache(
    answer: str, tiny: Tool, cache: Cache, path: list[Path]
):
    put(path[0], "tiny", answer)
    assert resolve([tiny], cache) == {}
    cached = put_in_cache(cache, tiny)
    assert resolve([tiny], cache)["tiny"].path == cached


def test_a_refused_version_does_not_hide_an_accepted_one_further_on(
    tiny: Tool, cache: Cache, path: list[Path]
):
    put(path[0], "tiny", "tiny 1.1.0")
    accepted = put(path[1], "tiny", "tiny 1.2.3")
    assert resolve([tiny], cache)["tiny"].path == accepted


def test_a_binary_that_does_not_start_is_no_answer(tiny: Tool, cache: Cache, path: list[Path]):
    broken = path[0] / "tiny"
    broken.write_bytes(b"\x7fELF not a program")
    broken.chmod(0o755)
    assert resolve([tiny], cache) == {}


def test_the_caches_own_directory_on_path_is_not_taken_for_the_users_choice(
    tiny: Tool, cache: Cache, path: list[Path], monkeypatch: pytest.MonkeyPatch
):
    put(cache.root / "bin" / "old", "tiny", "tiny 1.2.1")
    monkeypatch.setenv("PATH", f"{cache.root / 'bin' / 'old'}:{os.environ['PATH']}")
    assert resolve([tiny], cache) == {}
    del path


def test_a_changed_module_has_another_cache_key(tiny: Tool, cache: Cache, path: list[Path]):
    put_in_cache(cache, tiny)
    (tiny.module.directory / "go.sum").write_text("test.local/other v1.0.0 h1:x=\n")
    changed = tiny_tool.table(tiny.module.directory)["tiny"]
    assert resolve([changed], cache) == {}
    assert "tiny" in resolve([tiny], cache)
    del path


def test_pulumi_on_path_counts_only_with_its_language_host_beside_it(
    cache: Cache, path: list[Path]
):
    tools = select(["pulumi"])
    put(path[0], "pulumi", "v3.251.0")
    put(path[1], "pulumi-language-python")
    put(path[1], "pulumi-language-python-exec")
    assert resolve(tools, cache) == {}
    put(path[0], "pulumi-language-python")
    put(path[0], "pulumi-language-python-exec")
    found = resolve(tools, cache)
    assert {hit.path.parent for hit in found.values()} == {path[0]}
    assert len(found) == 2


def test_a_language_host_alone_on_path_is_not_mixed_with_the_caches_pulumi(
    cache: Cache, path: list[Path]
):
    put(path[0], "pulumi-language-python")
    put(path[0], "pulumi-language-python-exec")
    for tool in select(["pulumi"]):
        put_in_cache(cache, tool)
    found = resolve(select(["pulumi"]), cache)
    assert {hit.origin for hit in found.values()} == {"cache"}


def test_a_provider_on_path_is_never_taken(cache: Cache, path: list[Path]):
    put(path[0], "pulumi-resource-kubernetes", "4.25.0")
    assert resolve(select(["pulumi-resource-kubernetes"]), cache) == {}


def test_one_directory_holds_every_program_of_a_set_and_uv(
    cache: Cache, path: list[Path], monkeypatch: pytest.MonkeyPatch
):
    uv = put(path[1], "uv", "uv 0.9.9 (x86_64-unknown-linux-gnu)")
    for tool in select(["cli"]):
        put_in_cache(cache, tool)
    kubectl = put(path[0], "kubectl", f"Client Version: v{TABLE['kubectl'].version}")
    monkeypatch.setattr(uv_tool, "cache_root", lambda: cache.root)
    directory = bin_dir("cli", "kubectl", cache=cache)
    assert {file.name for file in directory.iterdir()} == {
        *ensure("cli", cache=cache),
        "kubectl",
        "uv",
    }
    assert (directory / "uv").resolve() == uv
    assert (directory / "kubectl").resolve() == kubectl
    # Pulumi looks for the language host beside its own executable, with links resolved.
    assert (directory / "pulumi").resolve().parent == directory
    assert bin_dir("cli", "kubectl", cache=cache) == directory
    kubectl.unlink()
    put_in_cache(cache, TABLE["kubectl"])
    assert bin_dir("cli", "kubectl", cache=cache) != directory


def test_the_pinned_provider_is_linked_into_pulumis_plugin_folder(cache: Cache, tmp_path: Path):
    provider = TABLE["pulumi-resource-kubernetes"]
    binary = put_in_cache(cache, provider)
    plugins = tmp_path / "home" / "plugins" / f"resource-kubernetes-v{provider.version}"
    for _ in range(2):
        link_plugins(tmp_path / "home", cache=cache)
        assert [file.resolve() for file in plugins.iterdir()] == [binary]
