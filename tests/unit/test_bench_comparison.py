"""Summaries of overloads of several designs, side by side."""

import io
import json
from pathlib import Path

from rich.console import Console

from bench import comparison
from bench.report import BenchReport
from tests.unit.test_overload_record import GROWS, STAYS, a_record

GROWN, STUCK = a_record(GROWS), a_record(STAYS)


def shown(table: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_what_did_not_happen_counts_as_the_worst_and_is_never_where_it_mostly_did_not() -> None:
    """Not shown: that a median of three is enough of them."""
    ready, full = comparison.ALL_READY, comparison.FULL
    assert ready.median([GROWN, GROWN, STUCK]) == 15
    assert ready.median([GROWN, STUCK, STUCK]) is None
    assert full.median([GROWN, GROWN, STUCK]) == 900
    assert full.median([STUCK, STUCK, GROWN]) is None
    assert ready.cell([GROWN, GROWN, STUCK]) == "15.0 (15.0 - 15.0), not in 1 of 3"
    assert ready.cell([STUCK, STUCK]) == "never"


def test_seconds_of_the_beginning_are_compared_however_long_a_load_went_on() -> None:
    """100/s for 15 s but for a first one of 7, then 500, then 900. Not shown: steps of a tenth."""
    mean = (7 + 14 * 100 + 3 * 500 + 12 * 900) / 30
    assert comparison.START.median([GROWN]) == mean
    assert comparison.DARK.median([GROWN]) == 0


def test_the_table_has_a_column_for_each_design_and_a_row_for_each_figure() -> None:
    """Not shown: that it fits a narrow terminal."""
    text = shown(comparison.side_by_side({"ours": [GROWN] * 3, "theirs": [STUCK] * 3}))
    assert "ours" in text
    assert "theirs" in text
    for figure in comparison.FIGURES:
        assert figure.name in text
    assert "median of 3" in text


def test_goals_are_missed_by_a_fleet_that_never_grows_and_by_a_killed_connection() -> None:
    """Not shown: that the stack meets them, which the benchmark itself does."""
    grown, stuck = BenchReport(), BenchReport()
    comparison.judge(grown, "ours", [GROWN] * 3)
    comparison.judge(stuck, "ours", [STUCK] * 3)
    # Both records have one killed connection a run, and lose nothing; 900/s of 1,000 is too little.
    assert [goal.met for goal in grown.goals] == [True, False, False, True]
    assert [goal.value for goal in grown.goals] == [15, 0.9, 3, 0]
    assert [goal.met for goal in stuck.goals] == [False, False, False, True]


def test_every_run_is_written_and_drawn(tmp_path: Path) -> None:
    """Not shown: that the picture can be read."""
    comparison.write(tmp_path, {"ours": [GROWN], "theirs": [STUCK]}, {"gateway": "envoy:1"})
    written = json.loads((tmp_path / "serving.json").read_text())
    assert written["images"] == {"gateway": "envoy:1"}
    assert written["designs"]["ours"]["medians"]["all ready after"] == 15
    assert written["designs"]["theirs"]["medians"]["all ready after"] is None
    assert len(written["designs"]["theirs"]["runs"]) == 1
    assert (tmp_path / "serving.png").stat().st_size > 0
