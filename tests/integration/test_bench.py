"""The benchmark of provisioning runs, and ends in the figures that it is for.

Not shown: what they are to be, which hangs on the machine; and its longer parts, by kubectl and
with many stacks.
"""

from functools import partial
from pathlib import Path

import pytest

from bench import provisioning
from bench.checkout import checkout
from bench.report import BenchReport


def test_a_preview_without_changes_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its usual place is that of a benchmark which somebody may be running.
    folder = tmp_path / "bench"
    monkeypatch.setattr(provisioning, "checkout", partial(checkout, project=folder))
    report = BenchReport()
    provisioning.run(report, 1, ["preview"])
    assert {sample.name: len(sample.values) for sample in report.samples} == {
        "preview of dev without changes": 1,
        "memory of the dev program, peak": 1,
        "CPU of the engine in a preview": 1,
        "CPU of the imports of a preview": 1,
        "CPU of our share of a preview": 1,
    }
    assert all(min(sample.values) > 0 for sample in report.samples), report.samples
    assert [goal.name for goal in report.goals] == [
        "preview without changes",
        "memory of the dev program",
    ]
    assert not folder.exists()
