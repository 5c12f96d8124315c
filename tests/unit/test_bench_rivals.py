"""Shares, goals and configurations of the comparison with other gateways.

Not shown here: that the gateways serve with them. The benchmark runs them.
"""

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.door import ENCRYPTED, FAIR, LOCKED, OPEN, Door
from bench.loopback import local_bootstrap
from bench.report import BenchReport
from bench.rivals import door, rivals
from bench.rivals.bed import DNS_PORT, HOST, Bed, Fleet, require_free
from bench.rivals.designs import DESIGNS, DIRECT, OURS, stack_of
from bench.rivals.envoys import usual_config
from bench.rivals.gateways import Spread
from bench.rivals.loads import LOADS, PRICE, grown, settled
from bench.rivals.own import envoy_command, write
from bench.rivals.pauses import back_after
from bench.rivals.pressure import Pressure
from bench.rivals.proxies import nginx_config
from components.gateway.envoy.validate import validate
from components.gateway.workload import BOOTSTRAP_FILE
from ops.errors import OpsError


@pytest.fixture
def bed() -> Bed:
    process: Any = subprocess.Popen(["true"], text=True)
    process.wait()
    return Bed(Fleet(), process, 8001, "ready.example")


def test_the_share_is_of_what_the_ready_replicas_could_answer():
    """Two replicas for 5 s, then four; all is answered but for the second after the growth."""
    full, half = 2.0, 4.0
    counts = [full] * 50 + [0.0] * 10 + [half] * 40
    found = {"step_seconds": 0.1, "timeline": [{"ok": count} for count in counts]}
    figures = grown(found, [(0.0, 2), (5.0, 4)], rps=10, seconds=10)
    assert figures["share"] == pytest.approx((100 + 160) / (100 + 200))
    # From second 1 to 6: the half window at two replicas, and the second without an answer.
    assert figures["worst 5 s"] == pytest.approx(80 / (80 + 40))


def test_the_share_after_the_growth_is_of_the_last_seconds():
    """Nothing is answered until the last four of ten seconds, and then a tenth less than all."""
    counts = [0.0] * 60 + [9.0] * 40
    found = {"step_seconds": 0.1, "timeline": [{"ok": count} for count in counts]}
    assert settled(found, rps=100, seconds=10) == pytest.approx(0.9)


def test_the_goal_of_the_growth_is_over_the_share_that_the_bed_allows():
    grew = results(1_000)
    for load in grew.values():
        load[OURS][0] |= {"worst 5 s": 0.94, "settled": 0.97}
    report = BenchReport()
    rivals.judge(report, grew)
    assert [goal.name for goal in report.goals if not goal.met] == []
    for load in grew.values():
        load[OURS][0]["settled"] = 1.0
    report = BenchReport()
    rivals.judge(report, grew)
    assert any("worst 5 s" in goal.name for goal in report.goals if not goal.met)


def test_pauses_are_measured_for_this_stack_alone():
    paused = [load for load in LOADS if "stopped" in load.name]
    assert paused
    for load in paused:
        assert [design.name for design in DESIGNS if load.concerns(design)] == [OURS]


def test_a_design_without_a_gateway_has_no_figures_under_pressure():
    without = {design.name for design in DESIGNS if not design.command}
    assert without == {DIRECT, "ClusterIP Service"}
    (quiet,) = [load for load in LOADS if load.name == "burst, quiet"]
    pressed = [load for load in LOADS if load.pressure is not Pressure.QUIET]
    assert len(pressed) == len(Pressure) - 1
    for load in (quiet, *pressed):
        measured = {design.name for design in DESIGNS if load.concerns(design)}
        assert measured & without == (without if load is quiet else set())


def test_the_price_of_a_refusal_is_measured_where_there_are_refusals():
    (load,) = [load for load in LOADS if load.name == "refusals"]
    measured = {design.name for design in DESIGNS if load.concerns(design)}
    assert OURS in measured
    assert not measured & {DIRECT, "nginx", "HAProxy", "ClusterIP Service"}


@pytest.mark.parametrize(("silent", "seconds"), [(0, 0.0), (7, 0.7), (50, None)])
def test_goodput_is_back_with_the_first_half_second_at_the_rate_before(
    silent: int, seconds: float | None
):
    """Stopped from second 3 to 5, and silent for a number of tenths after that."""
    counts = [10.0] * 30 + [0.0] * (20 + silent) + [10.0] * (50 - silent)
    found = {"step_seconds": 0.1, "timeline": [{"ok": count} for count in counts]}
    expected = None if seconds is None else pytest.approx(seconds)
    assert back_after(found, resumed=5.0) == expected


def figures(**values: float) -> list[rivals.Figures]:
    return [{"lost": 0.0, "killed": 0.0, **values}]


def results(answered: float) -> rivals.Results:
    """Results in which every goal is met if this stack answers 1,000 calls of the burst."""
    mine, theirs = {"answered": answered, "share": 0.99}, {"answered": 900.0, "share": 0.9}
    timed = {"answer p99": 0.01, "worst 5 s": 0.96, "back after": 0.3, **mine}
    return {
        load.name: {
            OURS: figures(**timed),
            DIRECT: figures(**{**theirs, "answer p99": 0.0099}),
        }
        for load in LOADS
    }


def test_all_goals_are_met_by_the_best():
    report = BenchReport()
    rivals.judge(report, results(1_000))
    assert len(report.goals) > 10
    assert [goal.name for goal in report.goals if not goal.met] == []


def test_a_rival_that_answers_more_calls_misses_a_goal():
    report = BenchReport()
    rivals.judge(report, results(899))
    missed = [goal.name for goal in report.goals if not goal.met]
    assert missed
    assert all("best rival" in name for name in missed)


def test_a_figure_that_a_design_has_not_is_not_available():
    table = rivals.table("load", {"one": figures(share=0.5), "two": figures()})
    (share,) = [column for column in table.columns if column.header == "share of the possible"]
    assert list(share.cells) == ["0.5", "n/a"]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("breaker", [100, None])
def test_envoy_accepts_the_usual_designs(bed: Bed, breaker: int | None, adaptive: bool):
    assert validate(usual_config(bed, 8080, 8090, breaker, adaptive=adaptive)) == []


def test_envoy_accepts_the_stacks_own_on_loopback():
    assert validate(local_bootstrap(stack_of(Fleet()), HOST, DNS_PORT)) == []


@pytest.mark.parametrize(
    "lock",
    [OPEN, ENCRYPTED, LOCKED, FAIR],
    ids=["open", "encrypted", "locked", "fair"],
)
def test_envoy_accepts_each_door_with_the_files_of_its_folder(lock: Door, tmp_path: Path):
    write(lock, tmp_path)
    envoy, *_ = envoy_command(stack_of(Fleet(), **lock.gateway), tmp_path)
    words = [envoy, "--mode", "validate", "-c", str(tmp_path / BOOTSTRAP_FILE)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("cpu", "ok", "over", "met"),
    [
        (125.0, 0.95, 2.0, [True] * 4),
        (126.0, 1.0, 1.0, [False, False, True, True]),
        (100.0, 0.94, 1.0, [True, True, False, True]),
        (100.0, 1.0, 2.1, [True, True, True, False]),
    ],
)
def test_the_goals_of_the_door_are_of_its_price_and_of_a_small_callers_share(
    cpu: float, ok: float, over: float, met: list[bool]
):
    report = BenchReport()
    prices = {"gateway CPU a call": 100.0}, {"gateway CPU a call": cpu}
    small = {"small OK": ok, "small over alone": over}
    results = {
        load.name: {door.PLAIN: figures(**prices[0]), door.ALL: figures(**prices[1])}
        for load in PRICE
    }
    results[door.SHARES.name] = {door.WITH_SHARES: figures(**small)}
    door.judge(report, results)
    assert [goal.met for goal in report.goals] == met


def test_connections_take_the_gateways_in_turn_or_by_chance():
    in_turn = Spread(2, 4, even=True).targets([8080, 8083])
    assert in_turn == f"{HOST}:8080,{HOST}:8083,{HOST}:8080,{HOST}:8083"
    by_chance = Spread(2, 64, even=False).targets([8080, 8083]).split(",")
    assert len(by_chance) == 64
    assert {*by_chance} == {f"{HOST}:8080", f"{HOST}:8083"}


def test_a_gateway_that_another_run_left_is_no_part_of_this_one():
    with socket.create_server((HOST, 0)) as left:
        port = left.getsockname()[1]
        with pytest.raises(OpsError, match=f"{port} is in use"):
            require_free(port)
    require_free(port)


def test_nginx_is_told_the_ready_replicas_alone(bed: Bed, tmp_path: Any):
    text = nginx_config(bed, 8080, tmp_path, 2)
    assert [line.split()[1] for line in text.splitlines() if "max_fails" in line] == [
        "127.0.32.1:8001",
        "127.0.32.2:8001",
    ]
