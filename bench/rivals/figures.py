"""The figures that all loads have in common."""

from typing import Any

Figures = dict[str, float]
"""Figures of one run, by name."""


def common(found: dict[str, Any]) -> Figures:
    """Return connections killed, calls lost, and times to an answer and a refusal in seconds.

    Args:
        found: The client's account.
    """
    figures = {
        "lost": float(found["outcomes"]["lost"]),
        "killed": float(found["connections_killed"]),
    }
    for words, key in (("answer", "ok_seconds"), ("refusal", "refused_seconds")):
        if found[key]:
            figures |= {f"{words} p50": found[key]["p50"], f"{words} p99": found[key]["p99"]}
    return figures
