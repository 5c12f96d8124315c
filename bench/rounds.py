"""Repeats that say where they are, and that end in time."""

import time
from collections.abc import Generator

from bench.report import console


def rounds(what: str, times: int, within_seconds: float) -> Generator[None]:
    """Yield once a repeat, at least once, saying which it is.

    Args:
        what: What is repeated, for the reader.
        times: Repeats asked for.
        within_seconds: Ends early where one as long as the longest so far might exceed this.
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
