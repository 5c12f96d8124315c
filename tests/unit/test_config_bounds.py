"""Every number has a least and a largest value that can be meant, and checks survive all of them.

What lies inside the bounds and is accepted by the checks is read by the real Envoy in
`tests/envoy/test_extremes.py`.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.checks import run
from config.load import Refused, parse
from config.schema.overrides import with_overrides
from config.settings import Settings
from tests.extremes import NUMBERS, Number, written


def test_every_number_has_both_bounds():
    assert [number.path for number in NUMBERS if number.low is None or number.high is None] == []


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_a_number_beyond_its_bounds_is_refused_with_key_value_and_fix(number: Number):
    step = 1 if number.whole else 1e-5
    for value, bound in ((number.low - step, number.low), (number.high + 1, number.high)):
        with pytest.raises(Refused) as refused:
            parse(written(number, value))
        (problem,) = [p for p in refused.value.problems if p.check == "schema"]
        assert problem.keys == {number.path: value}
        assert f"{bound:g}" in problem.reason
        assert problem.fix


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("inference[0].gateway.healthChecks.timeoutSeconds", 0.0001),
        ("inference[0].gateway.healthChecks.intervalSeconds", 0.001),
        ("inference[0].gateway.dnsRefreshSeconds", 0.001),
        ("inference[0].gateway.outliers.intervalSeconds", 0.0001),
        ("inference[0].gateway.healthChecks.unhealthyThreshold", 1_000_000),
        ("inference[0].traffic.deadlineSeconds", 0.0001),
        ("inference[0].traffic.serviceTimeSeconds", 1e-9),
        ("inference[0].triton.loadSeconds", 1e-6),
        ("inference[0].triton.memoryMib", 1),
        ("prometheus.memoryMib", 1),
        ("prometheus.retentionHours", 10_000_000),
        ("gpuNodes.nodeStartSeconds", 0.001),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(path: str, value: float):
    number = next(number for number in NUMBERS if number.path == path)
    with pytest.raises(Refused) as refused:
        parse(written(number, value))
    assert {path: value} in [dict(problem.keys) for problem in refused.value.problems]


@st.composite
def extremes(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4, unique_by=str))
    change: dict[str, Any] = {}
    for number in chosen:
        inside = (
            st.integers(int(number.low), int(number.high))
            if number.whole
            else st.floats(number.low, number.high)
        )
        change |= number.change(draw(st.sampled_from([number.low, number.high]) | inside))
    return change


@given(extremes())
def test_checks_answer_for_every_value_inside_the_bounds_with_a_fix_that_can_be_made(
    change: dict[str, Any],
):
    try:
        extreme = with_overrides(Settings(), change)
    except ValidationError:
        return
    for problem in run(extreme):
        assert problem.fix or problem.change
        if problem.change:
            with_overrides(extreme, problem.change)
