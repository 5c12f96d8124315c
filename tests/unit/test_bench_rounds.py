"""Repeats of a benchmark against a clock that only the test moves; nothing is measured here."""

import time

import pytest

from bench.rounds import rounds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, seconds, in the one element."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def _run(clock: list[float], times: int, within_seconds: float, each_seconds: float) -> int:
    done = 0
    for _ in rounds("x", times, within_seconds):
        clock[0] += each_seconds
        done += 1
    return done


def test_every_run_is_done_where_there_is_time(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(clock, times=3, within_seconds=30, each_seconds=10) == 3
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "x: run 1 of 3",
        "x: run 2 of 3",
        "x: run 3 of 3",
    ]


def test_a_run_that_would_end_too_late_is_not_begun(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(clock, times=3, within_seconds=29, each_seconds=10) == 2
    assert "x: no time for more than 2 of 3 runs" in capsys.readouterr().out


def test_there_is_one_figure_however_long_it_takes(clock: list[float]) -> None:
    assert _run(clock, times=3, within_seconds=5, each_seconds=10) == 1
