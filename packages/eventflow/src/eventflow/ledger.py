"""The account of a run: every call once, with its times and its outcome."""

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

from eventflow.call import Call
from eventflow.outcomes import Outcome

OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES, start=1)}
PENDING = 0


class AccountingError(Exception):
    """An account that does not add up: a defect of this package, never of a server."""


def _times() -> "array[float]":
    return array("d")


@dataclass
class Ledger:
    """Times and outcomes of all calls, in arrays by index, so that ledgers can be joined."""

    made_at: "array[float]" = field(default_factory=_times)
    sent_at: "array[float]" = field(default_factory=_times)
    done_at: "array[float]" = field(default_factory=_times)
    ends: bytearray = field(default_factory=bytearray)
    """Outcome of each call as a number; 0 while the call is in flight."""
    counts: Counter[Outcome] = field(default_factory=Counter[Outcome])
    details: Counter[tuple[Outcome, str]] = field(default_factory=Counter[tuple[Outcome, str]])
    samples: dict[tuple[Outcome, str], str] = field(default_factory=dict[tuple[Outcome, str], str])
    """First message of the server for each outcome and detail."""
    pods: Counter[str] = field(default_factory=Counter[str])
    """Calls answered by each replica, if the responses name it."""
    retries: int = 0
    """Number of retries by the client's retry policy."""

    def make(self, made_at: float) -> int:
        """Enter a call and return its index."""
        self.made_at.append(made_at)
        self.sent_at.append(math.nan)
        self.done_at.append(math.nan)
        self.ends.append(PENDING)
        return len(self.ends) - 1

    def settle(self, call: Call) -> None:
        """Enter the end of a call.

        Raises:
            AccountingError: The call has already ended, or belongs to another ledger.
        """
        verdict, index = call.verdict, call.index
        if verdict is None or index >= len(self.ends) or self.ends[index] != PENDING:
            raise AccountingError(f"call {index} cannot end now")
        outcome = verdict.outcome
        self.ends[index] = _CODES[outcome]
        self.sent_at[index] = call.sent_at
        self.done_at[index] = call.done_at
        self.counts[outcome] += 1
        kind = (outcome, verdict.detail)
        self.details[kind] += 1
        if verdict.message and kind not in self.samples:
            self.samples[kind] = verdict.message

    @property
    def made(self) -> int:
        """Number of calls entered."""
        return len(self.ends)

    @property
    def settled(self) -> int:
        """Number of calls that have ended."""
        return self.counts.total()

    def outcome(self, index: int) -> Outcome | None:
        """Return the outcome of one call; None while it is in flight."""
        code = self.ends[index]
        return OUTCOMES[code - 1] if code else None

    def join(self, other: "Ledger") -> None:
        """Add the calls of another ledger."""
        self.made_at += other.made_at
        self.sent_at += other.sent_at
        self.done_at += other.done_at
        self.ends += other.ends
        self.counts += other.counts
        self.details += other.details
        self.samples = other.samples | self.samples
        self.pods += other.pods
        self.retries += other.retries

    def check(self, calls: int) -> None:
        """Verify that the ledger holds exactly `calls` calls and that each ended once.

        Raises:
            AccountingError: A call is missing, is extra, or has no end.
        """
        ended = Counter(OUTCOMES[code - 1] for code in self.ends if code != PENDING)
        if not (
            self.made == calls
            and ended == self.counts
            and self.counts.total() == self.details.total() == calls
            and len(self.made_at) == len(self.sent_at) == len(self.done_at) == calls
        ):
            raise AccountingError(
                f"{calls} calls, but {self.made} entered and {ended.total()} ended: {self.counts}"
            )
