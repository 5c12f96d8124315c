"""The worst part of a load."""

from collections.abc import Sequence

WORST_SECONDS = 5.0
"""Length of the part that counts."""


def least_share(
    answered: Sequence[float], possible: Sequence[float], step_seconds: float
) -> float | None:
    """Return the least share answered in `WORST_SECONDS`; None if the load is shorter.

    Args:
        answered: Calls, or calls per second, of each step.
        possible: What the ready replicas could answer in each step, in the same unit.
        step_seconds: Length of a step.
    """
    wide = round(WORST_SECONDS / step_seconds)
    first_rows = range(len(answered) - wide + 1)
    return min(
        (sum(answered[row : row + wide]) / sum(possible[row : row + wide]) for row in first_rows),
        default=None,
    )
