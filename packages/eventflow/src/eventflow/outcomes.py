"""Outcomes of calls, and the rules that classify responses."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """The outcome of a call; each call has exactly one."""

    OK = "ok"
    """Status OK and one whole message."""

    BREAKER = "breaker"
    """UNAVAILABLE with `x-envoy-overloaded: true`: a limit of the gateway rejected the call."""

    LIMITED = "limited"
    """RESOURCE_EXHAUSTED with `x-envoy-ratelimited: true`: the caller's rate limit rejected it."""

    REFUSED = "refused"
    """UNAVAILABLE without that mark: route timeout, full queue in Triton, upstream reset."""

    NO_UPSTREAM = "no_healthy_upstream"
    """UNAVAILABLE because the gateway had no healthy replica."""

    DEADLINE = "deadline"
    """DEADLINE_EXCEEDED from the gateway, or a deadline by the client's own clock."""

    CONNECTION_LOST = "connection_lost"
    """The connection ended during the call, or there was none before its deadline."""

    CANCELLED = "cancelled"
    """Cancelled by the caller, or by the server (CANCELLED)."""

    OTHER = "other"
    """Every other status; `detail` names the code."""

    LOST = "lost"
    """No end at all, not even by the client's clock, half a second after the deadline."""


REFUSALS = frozenset({Outcome.BREAKER, Outcome.LIMITED, Outcome.REFUSED, Outcome.NO_UPSTREAM})
"""Outcomes that are refusals by a server; the report's time until a refusal covers these."""


class Verdict(NamedTuple):
    """The end of a call."""

    outcome: Outcome
    detail: str
    """Kind of end within the outcome; the few different values can be counted."""
    message: str = ""
    """Message of the server."""
    unprocessed: bool = False
    """True if no replica can have seen the call, so that a retry is safe."""


OVERLOADED_HEADER = "x-envoy-overloaded"
"""Metadata by which Envoy marks calls that its limits reject (Envoy's router filter docs)."""

LIMITED_HEADER = "x-envoy-ratelimited"
"""Metadata by which Envoy marks calls that a rate limit rejects (its rate limit filter's docs)."""

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
"""Phrases of Envoy's local replies and of Triton's schedulers, in lower case, and their kind."""


def status_name(status: int) -> str:
    """Return the name of a gRPC status code; an unknown code is named by its number."""
    return STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"status {status}"


def classify(status: int, message: str, metadata: Mapping[str, str]) -> Verdict:
    """Classify a server's status.

    Args:
        status: Status code of gRPC.
        message: Decoded `grpc-message`.
        metadata: Metadata that came with the status; it may hold a mark of Envoy's.
    """
    if status == OK_STATUS:
        return Verdict(Outcome.OK, "")
    if status == DEADLINE_EXCEEDED_STATUS:
        return Verdict(Outcome.DEADLINE, "by the server", message)
    if status == CANCELLED_STATUS:
        return Verdict(Outcome.CANCELLED, "by the server", message)
    if status == RESOURCE_EXHAUSTED_STATUS and metadata.get(LIMITED_HEADER) == "true":
        # Not "unprocessed", though no replica has seen it: a retry would only add to the rate.
        return Verdict(Outcome.LIMITED, LIMITED_HEADER, message)
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
    """Return the verdict of a call whose deadline passed by the client's own clock."""
    detail = "by the client" if sent else "by the client, before it was sent"
    return Verdict(Outcome.DEADLINE, detail, unprocessed=not sent)


def connection_lost(why: str, *, unprocessed: bool = False, message: str = "") -> Verdict:
    """Return the verdict of a call whose connection ended."""
    return Verdict(Outcome.CONNECTION_LOST, why, message, unprocessed)


def stream_refused(why: str) -> Verdict:
    """Return the verdict of a call whose stream the peer refused unprocessed."""
    return Verdict(Outcome.REFUSED, why, unprocessed=True)


def other(status: int, message: str) -> Verdict:
    """Return the verdict of a response that breaks gRPC's rules; gRPC defines its `status`."""
    return Verdict(Outcome.OTHER, status_name(status), message)
