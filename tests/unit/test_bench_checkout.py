"""Checkouts of benchmarks leave nothing behind. Measurements show when one is run."""

import subprocess
from pathlib import Path

import pytest

from bench.checkout import FOLDER, checkout
from local_cluster.modes import SIMULATED
from ops.stack import lifecycle
from ops.stack.environment import PROJECT, StackEnvironment


class _PrepareError(Exception):
    """The cluster does not come up."""


def test_what_a_killed_bench_left_is_cleared_before_and_a_failed_start_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bench"
    left = folder / ".state/local/bin/kwokctl"
    left.parent.mkdir(parents=True)
    cluster = subprocess.Popen([left, "600"], executable="/bin/sleep")

    def prepare(env: StackEnvironment) -> None:
        assert cluster.wait() == -9
        assert not env.state_dir.exists()
        assert (env.project / "Pulumi.yaml").exists()
        raise _PrepareError

    monkeypatch.setattr(lifecycle, "prepare", prepare)
    try:
        with pytest.raises(_PrepareError), checkout(SIMULATED, folder) as env:
            lifecycle.prepare(env)
    finally:
        cluster.kill()
        cluster.wait()
    assert not folder.exists()


def test_the_place_is_the_same_each_time_and_not_gits() -> None:
    folder = FOLDER
    ignored = subprocess.run(["git", "check-ignore", "-q", folder], cwd=PROJECT)
    assert ignored.returncode == 0
