"""Claims about a client's report on a change of the stack during its calls."""

from typing import Any

from eventflow.outcomes import Outcome

WINDOW = 8
"""Calls that a client holds: enough to be always in flight, far too few to be refused."""


def accounted(report: dict[str, Any]) -> dict[str, int]:
    """The calls that ended in each way, after every one was found in the account."""
    outcomes: dict[str, int] = report["outcomes"]
    assert sum(outcomes.values()) == report["calls"]
    assert outcomes[Outcome.LOST] == 0, report["details"]
    return {name: calls for name, calls in outcomes.items() if calls}


def none_failed(report: dict[str, Any]) -> None:
    """Every call was answered, but for those under way when the client itself was told to stop."""
    ended = accounted(report)
    assert ended.pop(Outcome.CANCELLED, 0) <= WINDOW, report["details"]
    assert set(ended) == {Outcome.OK}, report["details"]
    assert report["connections_killed"] == 0, report["connections"]
