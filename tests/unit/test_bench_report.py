"""Goals of a benchmark, and the files that it writes."""

import json
from pathlib import Path

import pytest

from bench.plot import share
from bench.report import BenchReport, Bound, Goal


@pytest.mark.parametrize(
    ("value", "side", "bound", "met", "part"),
    [
        (3.0, Bound.AT_MOST, 4.0, True, 0.75),
        (4.0, Bound.AT_MOST, 4.0, True, 1.0),
        (5.0, Bound.AT_MOST, 4.0, False, 1.25),
        (3.0, Bound.AT_LEAST, 4.0, False, 0.75),
        (4.0, Bound.AT_LEAST, 4.0, True, 1.0),
        (0.0, Bound.AT_MOST, 0.0, True, 0.0),
        (1.0, Bound.AT_MOST, 0.0, False, 1.0),
        (None, Bound.AT_MOST, 4.0, False, 0.0),
        (None, Bound.AT_LEAST, 4.0, False, 0.0),
    ],
)
def test_a_goal_is_met_on_its_own_side_of_the_bound_and_never_by_nothing(
    value: float | None, side: Bound, bound: float, met: bool, part: float
) -> None:
    """Not shown: that the bounds are the right ones."""
    goal = Goal("a figure", value, side, bound, "s")
    assert goal.met is met
    assert share(goal) == part


def test_a_report_says_what_was_measured_on_what_and_what_was_not(tmp_path: Path) -> None:
    """Not shown: that the picture can be read."""
    report = BenchReport()
    report.sample("time", "s", [3.0, 1.0, 2.0])
    report.at_most("time", 2.0, 4.0, "s")
    report.at_least("share", None, 0.95, "")
    report.leave_out("serving", "root")
    report.show()
    report.write(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert [(s["name"], s["median"]) for s in written["samples"]] == [("time", 2.0)]
    assert [(g["name"], g["met"], g["side"]) for g in written["goals"]] == [
        ("time", True, "at most"),
        ("share", False, "at least"),
    ]
    assert written["left_out"] == {"serving": "root"}
    assert written["machine"]["cores"] >= 1
    assert (tmp_path / "results.png").stat().st_size > 0
