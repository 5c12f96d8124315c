"""The real Envoy accepts a gateway with any one number at either end of what is allowed.

Envoy reads the bootstrap; it binds nothing here.
"""

import pytest

from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.validate import validate
from config.checks import run
from config.schema.overrides import with_overrides
from config.sections.inference import InferenceStack
from config.settings import Settings
from tests.extremes import NUMBERS, Number

DEFAULT = bootstrap(InferenceStack())


@pytest.mark.parametrize("number", [n for n in NUMBERS if n.path.startswith("inf")], ids=str)
def test_envoy_accepts_each_number_at_both_ends(number: Number):
    for value in (number.low, number.high):
        extreme = with_overrides(Settings(), number.change(value))
        read = bootstrap(extreme.inference[0])
        refused = any(problem.severity == "refuse" for problem in run(extreme))
        if not refused and read != DEFAULT:
            assert validate(read) == []
