"""The expression of short deadlines says what arithmetic says."""

import re

import pytest

from components.gateway.envoy.grpc_timeout import at_most

PER_SECOND = {"n": 10**9, "u": 10**6, "m": 10**3, "S": 1, "M": 1 / 60, "H": 1 / 3600}


@pytest.mark.parametrize("seconds", [0.05, 0.0333, 0.0125, 0.005, 0.00025])
def test_it_matches_every_timeout_up_to_the_bound_and_none_beyond(seconds):
    expression = re.compile(at_most(seconds))
    for unit, per_second in PER_SECOND.items():
        bound = round(seconds * per_second, 6)
        near = {int(bound) + step for step in (-1, 0, 1, 2)}
        for value in {*range(150), *near, 10 * int(bound) + 5, 12_345, 99_999_999}:
            for text in (f"{value}{unit}", f"{value:08}{unit}"):
                if value >= 0 and len(text) <= 9:
                    assert bool(expression.fullmatch(text)) == (value <= bound), text


@pytest.mark.parametrize("text", ["", "n", "0", "-1S", "1.0m", "0x1n", " 0m", "0m ", "1ms"])
def test_it_matches_nothing_that_is_no_timeout(text):
    assert not re.fullmatch(at_most(0.05), text)
