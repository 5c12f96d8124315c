"""Shares of Pulumi's commands: the probe in a program, and the line that many stacks are held to.

A stand-in for the engine: what a real preview costs, only the benchmark shows.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import shares
from bench.report import BenchReport
from ops.stack.environment import StackEnvironment

FIGURES = shares.Shares(wall=1, engine=1, imports=1, program=1, tools=1, peak_mib=100)


def run_probed(program: Path, probe: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(shares.PROBE), "BENCH_PROBE": str(probe)}
    subprocess.run([sys.executable, program], env=environment, check=True)


def test_the_probe_splits_imports_from_the_rest_of_the_program_and_counts_its_children(tmp_path):
    program, probe = tmp_path / "pulumi-language-python-exec", tmp_path / "probe.json"
    program.write_text(
        "import subprocess, sys\nimport email.mime.text\n"
        "sum(range(10**6))\n"
        "subprocess.run([sys.executable, '-c', 'sum(range(10**6))'], check=True)\n"
    )
    run_probed(program, probe)
    found = json.loads(probe.read_text())
    assert 0 < found["imports"] < found["python"]
    assert found["children"] > 0
    assert found["peak_mib"] > 1


def test_the_probe_leaves_other_pythons_alone(tmp_path):
    program, probe = tmp_path / "other", tmp_path / "probe.json"
    program.write_text("import email.mime.text\n")
    run_probed(program, probe)
    assert not probe.exists()


@pytest.mark.parametrize(("hundred", "met"), [(109.0, True), (111.0, False)])
def test_many_stacks_are_held_to_a_line_and_the_stack_file_is_restored(
    tmp_path, monkeypatch: pytest.MonkeyPatch, hundred: float, met: bool
):
    env = StackEnvironment(stack="dev", project=tmp_path)
    env.stack_file.write_text("original")
    cost = {"1": 1.0, "20": 20.0, "100": hundred}

    def cost_of(env: StackEnvironment, *_: str) -> shares.Shares:
        program = cost[env.stack_file.read_text()]
        return shares.replace(FIGURES, program=program, tools=0)

    monkeypatch.setattr(shares, "shares_of", cost_of)
    report = BenchReport()
    shares.scale(report, env, 1, lambda _, count: str(count))
    assert [goal.met for goal in report.goals] == [met, True]
    assert env.stack_file.read_text() == "original"
