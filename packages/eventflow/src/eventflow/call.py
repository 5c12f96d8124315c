"""One call, from when it is made until it is settled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventflow.http2.headers import Head
    from eventflow.outcomes import Verdict


_NOTHING = memoryview(b"")


class Call:
    """A unary call; every time is in seconds of `time.monotonic`.

    Plain slots and no properties: there are tens of thousands of these a second.
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
        """Number within its run."""
        self.message = message
        """The request as gRPC frames it: five bytes of prefix, then the protobuf."""
        self.made_at = made_at
        """When the call was made, or at an open loop's rate when it was due."""
        self.deadline_at = deadline_at
        """When the caller stops waiting."""
        self.notify = notify
        """Called once, when the call is settled."""
        self.sent_at = math.nan
        """When its END_STREAM was handed to the kernel; NaN if it never was."""
        self.done_at = math.nan
        """When it was settled."""
        self.attempts = 0
        """How often it was put on the wire."""
        self.verdict: Verdict | None = None
        """How it ended; None until then."""

        self.stream_id = 0
        self.credit = 0
        self.unsent = _NOTHING
        self.head: Head | None = None
        self.trailers: Head | None = None
        self.body: bytes | bytearray = b""

    def settle(self, verdict: Verdict, now: float) -> None:
        """End the call and tell its maker; only the first ending counts.

        An engine may not end a call twice. One that was given up as lost can still be answered:
        that answer is too late to change the account.
        """
        if self.verdict is None:
            self.verdict = verdict
            self.done_at = now
            self.notify(self)

    def rewind(self) -> None:
        """Forget an attempt that no server processed."""
        self.stream_id = 0
        self.unsent = _NOTHING
        self.head = self.trailers = None
        self.body = b""
        self.sent_at = math.nan

    @property
    def end(self) -> Verdict:
        """The verdict of a call that is settled."""
        if self.verdict is None:
            raise RuntimeError(f"call {self.index} has not ended")
        return self.verdict

    @property
    def reply(self) -> bytes:
        """The answer's protobuf; meaningful where the verdict is OK."""
        return bytes(self.body[5:])
