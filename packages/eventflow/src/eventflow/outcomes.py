"""What can become of a call, and how an answer is told from a refusal."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """The one end of a call."""

    OK = "ok"
    """Answered, status OK, one whole message."""

    BREAKER = "breaker"
    """UNAVAILABLE that carries `x-envoy-overloaded: true`: a limit of the gateway refused it."""

    REFUSED = "refused"
    """UNAVAILABLE without that mark: route timeout, a full queue in Triton, an upstream's reset."""

    NO_UPSTREAM = "no_healthy_upstream"
    """UNAVAILABLE because the gateway had no replica to send it to."""

    DEADLINE = "deadline"
    """The deadline passed: DEADLINE_EXCEEDED from the gateway, or the client's own clock."""

    CONNECTION_LOST = "connection_lost"
    """The connection ended under it, or there was none before its deadline."""

    CANCELLED = "cancelled"
    """Given up before its end: by the caller, or by the server (CANCELLED)."""

    OTHER = "other"
    """Any other status; `detail` names the code."""

    LOST = "lost"
    """Nothing, not even the client's own deadline, half a second after the deadline."""


REFUSALS = frozenset({Outcome.BREAKER, Outcome.REFUSED, Outcome.NO_UPSTREAM})
"""Outcomes by which a server said no; they make up the time until a refusal."""


class Verdict(NamedTuple):
    """How a call ended."""

    outcome: Outcome
    detail: str
    """Which kind within the outcome; few different values, so that they can be counted."""
    message: str = ""
    """The server's own words."""
    unprocessed: bool = False
    """No replica can have seen the call: it is safe to send it again."""


OVERLOADED_HEADER = "x-envoy-overloaded"
"""Metadata by which Envoy marks what its limits refused (Envoy's router filter docs)."""

OK_STATUS, CANCELLED_STATUS, UNKNOWN_STATUS, DEADLINE_EXCEEDED_STATUS = 0, 1, 2, 4
RESOURCE_EXHAUSTED_STATUS, INTERNAL_STATUS, UNAVAILABLE_STATUS = 8, 13, 14

STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC status codes by number (grpc/doc/statuscodes.md)."""

_REFUSALS_BY_TEXT = (
    ("upstream request timeout", "route timeout"),
    ("maximum queue size", "queue full"),
    ("request timeout expired", "queue timeout"),
    ("reset reason", "upstream reset"),
)
"""Words of Envoy's local replies and of Triton's schedulers, matched in lower case."""


def status_name(status: int) -> str:
    """Name a gRPC status code; an unknown number is named by itself."""
    return STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"status {status}"


def classify(status: int, message: str, metadata: Mapping[str, str]) -> Verdict:
    """Tell what a server's status means.

    Args:
        status: gRPC status code.
        message: `grpc-message`, decoded.
        metadata: The metadata that came with the status; the breaker's mark is looked for in it.
    """
    if status == OK_STATUS:
        return Verdict(Outcome.OK, "")
    if status == DEADLINE_EXCEEDED_STATUS:
        return Verdict(Outcome.DEADLINE, "by the server", message)
    if status == CANCELLED_STATUS:
        return Verdict(Outcome.CANCELLED, "by the server", message)
    if status != UNAVAILABLE_STATUS:
        return Verdict(Outcome.OTHER, status_name(status), message)
    if metadata.get(OVERLOADED_HEADER) == "true":
        return Verdict(Outcome.BREAKER, OVERLOADED_HEADER, message, unprocessed=True)
    text = message.lower()
    if "no healthy upstream" in text:
        return Verdict(Outcome.NO_UPSTREAM, "no healthy upstream", message, unprocessed=True)
    kind = next((kind for words, kind in _REFUSALS_BY_TEXT if words in text), "unavailable")
    return Verdict(Outcome.REFUSED, kind, message)


def own_deadline(*, sent: bool) -> Verdict:
    """Judge a call whose deadline passed on the client's own clock."""
    detail = "by the client" if sent else "by the client, before it was sent"
    return Verdict(Outcome.DEADLINE, detail, unprocessed=not sent)


def connection_lost(why: str, *, unprocessed: bool = False, message: str = "") -> Verdict:
    """Judge a call that its connection took with it."""
    return Verdict(Outcome.CONNECTION_LOST, why, message, unprocessed)


def stream_refused(why: str) -> Verdict:
    """Judge a call whose stream the peer refused before it looked at it."""
    return Verdict(Outcome.REFUSED, why, unprocessed=True)


def other(status: int, message: str) -> Verdict:
    """Judge a call whose answer broke gRPC's rules; `status` is the code gRPC gives that."""
    return Verdict(Outcome.OTHER, status_name(status), message)
