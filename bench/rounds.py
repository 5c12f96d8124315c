"""Repetitions that print their progress and end in time."""

import time
from collections.abc import Generator

from bench.report import console


def rounds(what: str, times: int, within_seconds: float) -> Generator[None]:
    """Yield once a repetition, at least once, and print its number.

    Args:
        what: Name of the measurement.
        times: Number of repetitions.
        within_seconds: Longest total duration; another repetition, as long as the longest so far,
            must fit into it.
    """
    start = time.monotonic()
    longest_seconds = 0.0
    for number in range(1, times + 1):
        begun = time.monotonic()
        if number > 1 and begun - start + longest_seconds > within_seconds:
            console.print(f"  {what}: no time for more than {number - 1} of {times} runs")
            return
        console.print(f"  {what}: run {number} of {times}")
        yield
        longest_seconds = max(longest_seconds, time.monotonic() - begun)
