"""One call, from its creation until it is settled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventflow.http2.headers import Head
    from eventflow.outcomes import Verdict


_NOTHING = memoryview(b"")


class Call:
    """A unary call. All times are `time.monotonic` seconds.

    The class has slots and no properties because a run creates tens of thousands a second.
    """

    __slots__ = (
        "attempts",
        "body",
        "credit",
        "deadline_at",
        "done_at",
        "head",
        "index",
        "made_at",
        "message",
        "notify",
        "sent_at",
        "stream_id",
        "trailers",
        "unsent",
        "verdict",
    )

    def __init__(
        self,
        index: int,
        message: bytes,
        made_at: float,
        deadline_at: float,
        notify: Callable[[Call], None],
    ) -> None:
        self.index = index
        """Index within the run."""
        self.message = message
        """The request as gRPC frames it: five bytes of prefix, then the protobuf."""
        self.made_at = made_at
        """Time at which the call was made, or at which an open loop scheduled it."""
        self.deadline_at = deadline_at
        """Time at which the caller stops waiting."""
        self.notify = notify
        """Callback that runs once, when the call is settled."""
        self.sent_at = math.nan
        """Time at which the kernel took END_STREAM; NaN if it never did."""
        self.done_at = math.nan
        """Time at which the call was settled."""
        self.attempts = 0
        """Number of times the call was put on the wire."""
        self.verdict: Verdict | None = None
        """Verdict of a settled call; None before."""

        self.stream_id = 0
        self.credit = 0
        self.unsent = _NOTHING
        self.head: Head | None = None
        self.trailers: Head | None = None
        self.body: bytes | bytearray = b""

    def settle(self, verdict: Verdict, now: float) -> None:
        """End the call and run its callback; only the first verdict counts.

        An engine must not end a call twice. A server may still answer a call that was given up as
        lost; that answer comes too late to change the account.
        """
        if self.verdict is None:
            self.verdict = verdict
            self.done_at = now
            self.notify(self)

    def rewind(self) -> None:
        """Clear the state of an attempt that no server processed."""
        self.stream_id = 0
        self.unsent = _NOTHING
        self.head = self.trailers = None
        self.body = b""
        self.sent_at = math.nan

    @property
    def end(self) -> Verdict:
        """Verdict of a settled call."""
        if self.verdict is None:
            raise RuntimeError(f"call {self.index} has not ended")
        return self.verdict

    @property
    def reply(self) -> bytes:
        """Protobuf bytes of the response; meaningful only if the outcome is OK."""
        return bytes(self.body[5:])
