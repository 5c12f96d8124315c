"""Building a tool with the real Go: once, whole or not at all, and with nothing left behind.

The tool has no dependencies, so downloads and what real tools need of disk are not shown here.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import tiny_tool
from local_cluster.toolchain.api import ensure
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError

pytestmark = pytest.mark.tools


DISKS = ["full device", *(["small file system"] if os.geteuid() == 0 else [])]
"""A small file system can only be mounted by root."""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return tiny_tool.write_module(tmp_path / "module")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def start(
    module: Path, cache: Cache, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Another process that makes the tool ready."""
    return subprocess.Popen(
        [sys.executable, tiny_tool.__file__, module, cache.root],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stand_in_for_go(cache: Cache, build: str) -> Path:
    """A directory for PATH with a `go` that is new enough and builds by a shell script."""
    directory = cache.root.parent / "stand-in"
    directory.mkdir()
    go = directory / "go"
    version = '[ "$1" = version ] && { echo go version go9.0.0; exit; }'
    go.write_text(f"#!/bin/sh\n{version}\n{build}\n")
    go.chmod(0o755)
    return directory


def wait_until_go_compiles(
    process: "subprocess.Popen[str]", cache: Cache, name: str = "go"
) -> psutil.Process:
    """The Go process of a run, once it has made its own working directory."""
    while True:
        assert process.poll() is None, process.communicate()[0]
        children = psutil.Process(process.pid).children(recursive=True)
        named = [child for child in children if child.name() == name]
        if named and list(cache.root.glob("build/*/tmp/go-build*")):
            return named[0]
        time.sleep(0.01)


def said_by(binary: Path) -> str:
    return subprocess.run([binary], capture_output=True, text=True, check=True).stderr.strip()


def leftovers(cache: Cache) -> list[Path]:
    return list(cache.root.glob("build/*"))


def test_a_built_tool_prints_its_version_and_gos_caches_are_deleted(module: Path, cache: Cache):
    binary = ensure("tiny", table=tiny_tool.table(module), cache=cache)["tiny"]
    assert said_by(binary) == "tiny 1.2.3"
    assert binary.is_relative_to(cache.root / "tools" / "tiny")
    assert leftovers(cache) == []
    assert sorted(path.name for path in module.iterdir()) == ["go.mod", "go.sum", "inner"]


def test_build_tags_decide_the_content_and_the_cache_key_of_a_tool(module: Path, cache: Cache):
    plain = ensure("tiny", table=tiny_tool.table(module), cache=cache)["tiny"]
    tagged = ensure("tiny", table=tiny_tool.table(module, tags=("tagged",)), cache=cache)["tiny"]
    assert [said_by(plain), said_by(tagged)] == ["tiny 1.2.3", "tiny 1.2.3 tagged"]


def test_settings_of_the_users_go_do_not_reach_the_build(
    module: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GOFLAGS", "-mod=vendor -tags=nope")
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOWORK", str(tmp_path / "absent.work"))
    monkeypatch.setenv("GOTOOLCHAIN", "go9.99.9")
    monkeypatch.setenv("GOCACHE", "off")
    assert said_by(ensure(table=tiny_tool.table(module), cache=cache)["tiny"]) == "tiny 1.2.3"


def test_two_builds_at_once_build_once(module: Path, cache: Cache):
    first = start(module, cache)
    wait_until_go_compiles(first, cache)
    second = start(module, cache)
    told = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert "tiny: ready" in told[0]
    assert "tiny: ready" not in told[1]
    assert (
        f"waiting for another build of the tools to end (started by process {first.pid})" in told[1]
    )
    assert leftovers(cache) == []


def test_a_killed_build_leaves_a_cache_that_the_next_one_uses(module: Path, cache: Cache):
    process = start(module, cache)
    go = wait_until_go_compiles(process, cache)
    go.kill()
    process.kill()
    process.communicate()
    assert list(cache.root.glob("tools/tiny/*")) == []
    assert leftovers(cache), "the killed run was expected to leave its directory behind"
    assert said_by(ensure(table=tiny_tool.table(module), cache=cache)["tiny"]) == "tiny 1.2.3"
    assert leftovers(cache) == []


def test_leftovers_of_a_killed_run_are_deleted_even_if_no_tool_is_missing(
    module: Path, cache: Cache
):
    table = tiny_tool.table(module)
    ensure(table=table, cache=cache)
    abandoned = cache.root / "build" / "run-abandoned"
    abandoned.mkdir(parents=True)
    (abandoned / "file").write_text("")
    ensure(table=table, cache=cache)
    assert leftovers(cache) == []


def test_the_directory_of_an_active_build_is_not_deleted(module: Path, cache: Cache):
    process = start(module, cache)
    wait_until_go_compiles(process, cache)
    cache.clear_leftovers()
    assert leftovers(cache)
    assert process.wait(timeout=300) == 0


def test_a_compiler_that_outlives_its_killed_parent_still_holds_the_cache(
    module: Path, cache: Cache
):
    stand_in = stand_in_for_go(cache, 'mkdir "$GOTMPDIR/go-build"\nexec sleep 300')
    process = start(module, cache, {"PATH": f"{stand_in}:{os.environ['PATH']}"})
    compiler = wait_until_go_compiles(process, cache, "sleep")
    process.kill()
    process.communicate()
    cache.clear_leftovers()
    assert leftovers(cache)
    second = start(module, cache)
    assert second.stdout is not None
    assert f"process {process.pid}" in second.stdout.readline()
    compiler.kill()
    assert second.wait(timeout=300) == 0
    second.stdout.close()
    assert leftovers(cache) == []


def test_the_next_modules_sources_are_downloaded_while_one_compiles_and_no_longer(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
):
    """A stand-in for Go: its first build waits for the second module's download, which hangs.

    This does not show that Go finds all sources in the first place: the build downloads the rest.
    """
    modules = [tiny_tool.write_module(tmp_path / name) for name in ("first", "second")]
    table = {
        module.name: replace(tiny_tool.table(module)["tiny"], name=module.name, probe=None)
        for module in modules
    }
    listed = tmp_path / "listed"
    script = f"""
        if [ "$1" = list ]; then echo $$ "$@" >> {listed}; exec sleep 600; fi
        tries=0
        until [ -e {listed} ] || [ $tries = 1000 ]; do tries=$((tries + 1)); sleep 0.01; done
        while [ "$1" != -o ]; do shift; done
        echo built > "$2"
    """
    monkeypatch.setenv("PATH", f"{stand_in_for_go(cache, script)}:{os.environ['PATH']}")
    ensure(table=table, cache=cache)
    # One module downloads beside another: nothing is left to download beside the last one.
    [begun] = listed.read_text().splitlines()
    number, *arguments = begun.split()
    assert arguments == ["list", "-e", "-deps", "-mod=readonly", "test.local/tiny"]
    assert not psutil.pid_exists(int(number))
    assert leftovers(cache) == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_build_ends_its_compilers_and_deletes_their_caches(
    ending: signal.Signals, module: Path, cache: Cache
):
    process = start(module, cache)
    go = wait_until_go_compiles(process, cache)
    os.kill(process.pid, ending)
    assert process.wait(timeout=60) != 0
    assert not go.is_running()
    assert leftovers(cache) == []
    assert list(cache.root.glob("tools/tiny/*")) == []
    if process.stdout:
        process.stdout.close()


def test_the_error_of_a_failed_compilation_names_its_log(tmp_path: Path, cache: Cache):
    module = tiny_tool.write_module(tmp_path / "bad", "package main\n\nfunc main() { nonsense }\n")
    with pytest.raises(ToolchainError) as refused:
        ensure(table=tiny_tool.table(module), cache=cache)
    log = cache.root / "logs" / "tiny.log"
    assert "tiny 1.2.3: go build failed" in str(refused.value)
    assert "undefined: nonsense" in str(refused.value)
    assert str(log) in str(refused.value)
    assert "undefined: nonsense" in log.read_text()
    assert leftovers(cache) == []


def test_too_little_disk_is_refused_before_anything_is_built(module: Path, cache: Cache):
    terabytes = 10**9
    with pytest.raises(ToolchainError) as refused:
        ensure(table=tiny_tool.table(module, build_mib=terabytes), cache=cache)
    told = re.search(rf"{cache.root} has (\S+) GiB free and .* needs (\S+) GiB", str(refused.value))
    assert told, refused.value
    assert float(told[1]) == pytest.approx(shutil.disk_usage(cache.root).free / 2**30, abs=1)
    assert float(told[2]) == pytest.approx((terabytes + 1) / 1024, abs=0.1)
    assert not (cache.root / "logs").exists()


def run_on_a_small_file_system(module: Path, cache: Cache) -> "subprocess.CompletedProcess[str]":
    """Build on 4 MiB, then again with room; mounted where no other process sees it."""
    program = f"{sys.executable} {tiny_tool.__file__} {module} {cache.root}"
    script = f"""
        mount -t tmpfs -o size=4m tmpfs {cache.root}
        {program} && exit 9
        ls {cache.root}/build {cache.root}/tools
        mount -o remount,size=1g {cache.root}
        {program} && {cache.root}/tools/tiny/*/bin/tiny
    """
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True
    )


def run_with_a_go_that_writes_to_a_full_device(
    module: Path, cache: Cache
) -> "subprocess.CompletedProcess[str]":
    """Build with a stand-in for Go that meets the kernel's error, then with the real one."""
    stand_in = stand_in_for_go(cache, 'cat "$0" > /dev/full')
    program = f"{sys.executable} {tiny_tool.__file__} {module} {cache.root}"
    script = f"""
        PATH={stand_in}:$PATH {program} && exit 9
        ls {cache.root}/build {cache.root}/tools
        {program} && {cache.root}/tools/tiny/*/bin/tiny
    """
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("disk", DISKS)
def test_a_full_disk_is_reported_and_leaves_the_cache_usable(disk: str, module: Path, cache: Cache):
    cache.root.mkdir()
    run = {
        "full device": run_with_a_go_that_writes_to_a_full_device,
        "small file system": run_on_a_small_file_system,
    }[disk]
    ran = run(module, cache)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "The disk is full: free some space and run it again." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout.split() == [f"{cache.root}/build:"]
    assert ran.stderr.splitlines()[-1] == "tiny 1.2.3"
