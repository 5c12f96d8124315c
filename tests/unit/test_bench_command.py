"""Benchmarks that `bench` runs, and its message on a machine that cannot run one."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import issuing, provisioning
from bench import serving as overloaded
from bench.report import BenchReport
from bench.rivals import door, rivals
from local_cluster.serving import machine
from ops.__main__ import register
from ops.cli import app
from ops.errors import OpsError

LACKING = "root, since it makes namespaces and mounts"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the benchmarks that ran, in their stead; each misses no goal but the last."""
    names: list[str] = []

    def stand_in(name: str, value: float) -> Any:
        def run(report: BenchReport, repeats: int, *_: object) -> None:
            names.append(f"{name} x{repeats}")
            report.at_most(name, value, 1.0, "s")

        return run

    monkeypatch.setattr(provisioning, "run", stand_in("provisioning", 1.0))
    monkeypatch.setattr(issuing, "run", stand_in("eventflow", 1.0))
    monkeypatch.setattr(rivals, "run", stand_in("rivals", 1.0))
    monkeypatch.setattr(door, "run", stand_in("door", 1.0))
    monkeypatch.setattr(overloaded, "run", stand_in("serving", 2.0))
    return names


def bench(out: Path, *arguments: str) -> Any:
    register("bench")
    return CliRunner().invoke(app, ["bench", "--out", str(out), *arguments])


def test_all_of_them_run_and_a_missed_goal_fails(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not shown: what any of them measures."""
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: "")
    assert bench(tmp_path).exit_code == 1
    assert ran == ["provisioning x3", "eventflow x3", "rivals x3", "door x3", "serving x3"]


def test_one_of_them_runs_where_only_it_is_asked_for(ran: list[str], tmp_path: Path) -> None:
    """Not shown: that another one would have been possible."""
    assert bench(tmp_path, "--only", "eventflow", "--repeats", "2").exit_code == 0
    assert ran == ["eventflow x2"]


def test_a_machine_that_cannot_serve_gets_a_list_of_the_skipped_benchmarks(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not shown: such a machine."""
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: LACKING)
    assert bench(tmp_path).exit_code == 0
    assert ran == ["provisioning x3", "eventflow x3", "rivals x3", "door x3"]
    left_out = json.loads((tmp_path / "results.json").read_text())["left_out"]
    assert left_out == {"serving, and the goal of up against kubectl": LACKING}


def test_a_machine_that_cannot_serve_refuses_what_only_that_needs_before_anything_runs(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not shown: such a machine."""
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: LACKING)
    asked = bench(tmp_path, "--only", "serving", "--only", "eventflow")
    assert isinstance(asked.exception, OpsError)
    assert str(asked.exception) == f"the serving benchmark needs {LACKING}"
    assert ran == []
