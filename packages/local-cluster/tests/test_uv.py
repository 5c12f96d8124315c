"""Choice of uv, and locks. `test_toolchain_install.py` shows that uv is installed."""

import threading
from pathlib import Path

import pytest

from local_cluster import storage
from local_cluster import uv as uv_tool


@pytest.mark.parametrize(("version", "found"), [("uv 0.5.0", True), ("uv 0.4.30", False)])
def test_uv_on_path_is_used_from_the_first_version_that_reads_the_lock(
    version: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    uv = tmp_path / "path" / "uv"
    uv.parent.mkdir()
    uv.write_text(f"#!/bin/sh\necho '{version} (x86_64-unknown-linux-gnu)'\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(uv.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "kubemind-inference" / "uv" / uv_tool.UV_VERSION / "bin" / "uv"
    cached.parent.mkdir(parents=True)
    cached.write_text("")
    assert uv_tool.ensure_uv() == (uv if found else cached)


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_a_cache_directory_that_is_not_absolute_is_ignored(
    value: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert storage.cache_root() == Path.home() / ".cache" / "kubemind-inference"


def test_a_second_run_waits_for_the_first_and_learns_its_process_id(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    told: list[str] = []
    waits, done = threading.Event(), threading.Event()

    def waiting(holder: str) -> None:
        told.append(holder)
        waits.set()

    def second() -> None:
        with storage.locked(file, waiting):
            done.set()

    thread = threading.Thread(target=second)
    with storage.locked(file, lambda _: None):
        thread.start()
        assert waits.wait(30)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()
    assert told[0].isdigit()


def test_a_waiting_run_does_not_hold_a_lock_file_that_its_holder_deleted(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    waits = threading.Event()
    there: list[bool] = []

    def second() -> None:
        with storage.locked(file, lambda _: waits.set()):
            there.append(file.exists())

    thread = threading.Thread(target=second)
    with storage.locked(file, lambda _: None):
        thread.start()
        assert waits.wait(30)
        file.unlink()
    thread.join(30)
    assert there == [True]
