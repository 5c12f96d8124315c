"""Results that a function keeps for the settings of its last call."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from config.settings import Settings

_Result = TypeVar("_Result")


def remembered(function: Callable[[Settings], _Result]) -> Callable[[Settings], _Result]:
    """Make a function of all parameters compute once, although every stack asks for its result.

    Without it, the time of the checks grows with the square of the number of stacks. Settings never
    change, so the same object has the same result. Equal ones are not searched for: to compare
    them takes as long as most functions. The result must not be changed either.
    """
    last: list[tuple[Settings, _Result]] = []

    @wraps(function)
    def once(settings: Settings) -> _Result:
        for known, result in last:
            if known is settings:
                return result
        result = function(settings)
        last[:] = [(settings, result)]
        return result

    return once
