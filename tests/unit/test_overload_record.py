"""Output for one overload: the time of every step, goodput, tables, JSON and plots."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.overload.fleet import FleetStep
from bench.overload.plot import draw
from bench.overload.record import Record
from eventflow.fetch import Series
from eventflow.outcomes import Outcome

BEGAN = 1000.0
SECONDS = 40


def course(*steps: tuple[float, int, int, int]) -> tuple[FleetStep, ...]:
    return tuple(FleetStep(BEGAN + at, *counts) for at, *counts in steps)


GROWS = course((-5, 2, 2, 2), (8, 20, 2, 2), (8.1, 20, 20, 2), (12, 20, 20, 3), (15, 20, 20, 20))
STAYS = course((-5, 2, 2, 2))


def a_record(steps: tuple[FleetStep, ...], back_at: float | None = None) -> Record:
    """100 OK/s for 15 s, then 500/s, from 18 s to 38 s 900/s; before and after it anything."""
    rows = [{"at": float(at), "ok": 100 if at < 15 else 500} for at in range(SECONDS)]
    rows[0]["ok"] = 7
    for row in rows[18:38]:
        row["ok"] = 900
    client: dict[str, Any] = {
        "seconds": SECONDS - 0.5,
        "outcomes": {**dict.fromkeys(Outcome, 0), Outcome.OK: 24_000, Outcome.BREAKER: 1_000_000},
        "first_end_seconds": {"ok": 0.02, "breaker": 0.01, "refused": 0.5},
        "connections_killed": 1,
        "timeline_step_seconds": 1.0,
        "timeline": rows,
    }
    return Record(
        name="ours",
        least=2,
        most=20,
        growth_needs=35.2,
        replica_rps=50.0,
        window=400,
        niceness=0,
        settle_seconds=3.0,
        full_seconds=20.0,
        began_at=BEGAN,
        steps=steps,
        back_at=back_at,
        signal=Series((0.0, 1.0, 6.0), (0.0, 35.2, 300.0)),
        in_flight=Series((0.0, 6.0), (0.0, 64.0)),
        refusals=Series((0.0, 6.0), (0.0, 9_000.0)),
        routed=Series((0.0, 17.0), (2.0, 20.0)),
        client=client,
    )


def test_every_step_has_its_time_from_the_beginning_of_the_overload() -> None:
    record = a_record(GROWS, back_at=BEGAN + 100)
    times = {milestone.what: milestone.at_seconds for milestone in record.milestones}
    assert times == {
        "overload begins": 0.0,
        "first refusal": 0.01,
        "signal above 35.2, the reach of 2 replicas": 6.0,
        "HPA wants more": 8.0,
        "HPA wants 20": 8.0,
        "20 replicas stated": pytest.approx(8.1),
        "first new one ready": 12.0,
        "all 20 ready": 15.0,
        "gateway sends to 20": 17.0,
        "load ends": 39.5,
        "back at 2": 100.0,
    }


def test_goodput_is_taken_while_few_are_ready_and_when_all_have_been_for_a_while() -> None:
    record = a_record(GROWS)
    assert record.goodput_at_least == 100.0
    # What is outside of the stretch would have shown.
    assert record.goodput_at_most == 900.0
    assert record.capacity_per_second == 1000.0
    assert (record.killed, record.lost) == (1, 0)


def test_the_worst_seconds_of_the_growth_count_what_the_ready_replicas_could_do() -> None:
    """From second 13 to 18: two with 3 ready and 100 OK, then three with 20 ready and 500."""
    assert a_record(GROWS).worst_share == (2 * 100 + 3 * 500) / (2 * 3 * 50 + 3 * 20 * 50)
    assert a_record(STAYS).worst_share is None


def test_a_fleet_that_never_grows_is_recorded_as_that() -> None:
    record = a_record(STAYS)
    never = {m.what for m in record.milestones if m.at_seconds is None}
    assert never == {
        "HPA wants more",
        "HPA wants 20",
        "20 replicas stated",
        "first new one ready",
        "all 20 ready",
        "back at 2",
    }
    assert record.goodput_at_most is None
    console = Console(width=100)
    with console.capture() as capture:
        console.print(record.table())
    assert "never" in capture.get()


def test_replicas_that_were_there_before_the_overload_are_none_of_its_steps() -> None:
    before = course((-9, 20, 20, 20), (-5, 2, 2, 2))
    assert a_record(before).all_ready_seconds is None


def test_goodput_of_a_load_that_ended_too_soon_after_is_left_out() -> None:
    late = course((-5, 2, 2, 2), (17, 20, 20, 20))
    assert a_record(late).goodput_at_most is None


def test_a_record_is_json_and_keeps_what_was_seen() -> None:
    record = a_record(GROWS)
    told = json.loads(json.dumps(record.as_dict()))
    assert told["milestones"][7] == {"what": "all 20 ready", "at_seconds": 15.0}
    assert told["steps"][-1]["ready"] == 20
    assert told["client"] == record.client
    assert told["goodput_at_most"] == 900.0


def test_one_record_and_two_side_by_side_are_drawn(tmp_path: Path) -> None:
    records = [a_record(GROWS, back_at=BEGAN + 60), a_record(STAYS)]
    draw(tmp_path / "one.png", records[:1])
    draw(tmp_path / "two.png", records)
    for name in ("one.png", "two.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
