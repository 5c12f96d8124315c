"""Fair shares of two gateways before one fleet, in virtual time: each has queues of its own.

The large caller makes its calls through both gateways in turn, and has used up its guarantee at
both. Not shown: the time in which it does so, and guarantees that fill again.
"""

from pathlib import Path

import pytest

from components.gateway.envoy.protojson import Json
from tests.envoy.harness.bed import beside, open_bed
from tests.envoy.harness.virtual import TICKS, VirtualTime
from tests.envoy.test_fair_shares import (
    ALONE,
    ENOUGH,
    LARGE,
    PARALLELISM,
    SMALL,
    TOGETHER,
    WARM,
    caller,
    fleet,
    guaranteeing,
)

BOTH_GUARANTEES = 2 * ENOUGH + TICKS
"""Ticks in which the fleet answers the calls that both gateways guarantee a caller."""

HALF = PARALLELISM // 2


@pytest.mark.parametrize(
    ("calls_per_pod", "on_both", "over_alone"),
    [
        (HALF, True, 2),
        (HALF, False, 4),
        (PARALLELISM, True, 4),
        (PARALLELISM, False, 5),
    ],
)
def test_a_small_caller_beside_one_at_two_gateways_is_served(
    tmp_path: Path, calls_per_pod: int, on_both: bool, over_alone: int
):
    def edit(config: Json) -> None:
        guaranteeing(config, ENOUGH)

    with (
        open_bed(tmp_path, **fleet(callsPerPod=calls_per_pod), edit=edit) as bed,
        beside(bed, tmp_path, edit) as second,
    ):
        clock = VirtualTime(bed, PARALLELISM, second)
        mine = () if on_both else (second,)
        alone = caller(clock, "alone", *mine)
        clock.run(ALONE, {alone: SMALL})
        clock.run(2 * TICKS, {})
        large, small = caller(clock, "large"), caller(clock, "small", *mine)
        clock.run(BOTH_GUARANTEES, {large: LARGE})
        clock.run(TOGETHER, {large: LARGE, small: SMALL})
        assert small.share_ok >= 0.95
        assert small.p99 <= over_alone * alone.p99
        assert large.answered + small.answered >= 0.95 * (BOTH_GUARANTEES + TOGETHER)


def test_a_caller_alone_has_the_whole_fleet_by_both_gateways_with_half_the_calls_each(
    tmp_path: Path,
):
    """By one of them it has half of it."""

    def edit(config: Json) -> None:
        guaranteeing(config, 1)

    with (
        open_bed(tmp_path, **fleet(callsPerPod=HALF), edit=edit) as bed,
        beside(bed, tmp_path, edit) as second,
    ):
        clock = VirtualTime(bed, PARALLELISM, second)
        for mine, share in (((), 1), ((second,), 0.5)):
            large = caller(clock, f"large-{share}", *mine)
            clock.run(WARM, {large: LARGE})
            large.forget()
            clock.run(ALONE, {large: LARGE})
            assert large.answered == pytest.approx(share * ALONE, abs=1)
            clock.run(BOTH_GUARANTEES, {})
