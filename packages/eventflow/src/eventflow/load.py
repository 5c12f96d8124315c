"""When calls are made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MaxThroughput:
    """All calls as fast as the connection takes their bytes; answers are not waited for.

    A call's clock runs from when it is made. Calls that HTTP/2's limits hold back have been made,
    and wait in the client; while the kernel's buffer is full none is made, for up to a deadline.
    """

    def __str__(self) -> str:
        return "unbounded"


@dataclass(frozen=True)
class ClosedLoop:
    """Closed loop: a call is made when another ends, so that `size` are always under way."""

    size: int

    def __str__(self) -> str:
        return f"window of {self.size}"


@dataclass(frozen=True)
class OpenLoop:
    """Open loop: call i is due i / `per_second` seconds after the start, whatever the server does.

    Deadline and latency count from when a call was due, so that a client or a connection that
    falls behind shows in the latency instead of hiding in the schedule.
    """

    per_second: float

    def __str__(self) -> str:
        return f"rate of {self.per_second:g}/s"


Load = MaxThroughput | ClosedLoop | OpenLoop
