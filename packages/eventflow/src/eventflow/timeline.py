"""Counts of a run over equal steps of time."""

import math
from collections.abc import Sequence

from eventflow.ledger import OUTCOMES, Ledger
from eventflow.outcomes import Outcome


def ends_per_bin(
    ledger: Ledger, start: float, seconds: float, bins: int
) -> dict[Outcome, list[int]]:
    """Count the calls that ended in each of `bins` equal parts of the run, by outcome."""
    counts = {outcome: [0] * bins for outcome in OUTCOMES if ledger.counts[outcome]}
    for done, code in zip(ledger.done_at, ledger.ends, strict=True):
        place = min(bins - 1, max(0, int((done - start) / seconds * bins)))
        counts[OUTCOMES[code - 1]][place] += 1
    return counts


def in_flight_at(ledger: Ledger, moments: Sequence[float]) -> list[int]:
    """Count the calls in flight at each of some ascending moments."""
    made, done = sorted(ledger.made_at), sorted(ledger.done_at)
    counts: list[int] = []
    i = j = 0
    for moment in moments:
        while i < len(made) and made[i] <= moment:
            i += 1
        while j < len(done) and done[j] <= moment:
            j += 1
        counts.append(i - j)
    return counts


def timeline(ledger: Ledger, start: float, seconds: float, step: float) -> list[dict[str, float]]:
    """Describe each step: start, calls made, in flight at the start, and ended by outcome.

    Args:
        ledger: Ledger of the run.
        start: Start of the run, by the ledger's clock.
        seconds: Duration of the run.
        step: Length of a step, seconds.
    """
    bins = max(1, math.ceil(seconds / step))
    ends = ends_per_bin(ledger, start, bins * step, bins)
    in_flight = in_flight_at(ledger, [start + number * step for number in range(bins)])
    made = [0] * bins
    for at in ledger.made_at:
        made[min(bins - 1, max(0, int((at - start) / step)))] += 1
    return [
        {
            "at": number * step,
            "made": made[number],
            "in_flight": in_flight[number],
            **{outcome: counts[number] for outcome, counts in ends.items()},
        }
        for number in range(bins)
    ]
