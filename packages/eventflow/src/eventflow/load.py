"""Load models: the times at which the load generator makes calls."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MaxThroughput:
    """All calls as fast as the connection takes their bytes, without waiting for responses.

    The clock of a call starts when it is made. A call that HTTP/2 limits hold back has been made
    and waits in the client. While the kernel's buffer is full, the generator makes no call, for at
    most one deadline.
    """

    def __str__(self) -> str:
        return "unbounded"


@dataclass(frozen=True)
class ClosedLoop:
    """A closed loop: a new call starts when one ends, so that `size` are always in flight."""

    size: int

    def __str__(self) -> str:
        return f"window of {self.size}"


@dataclass(frozen=True)
class OpenLoop:
    """An open loop: call i is due i / `per_second` seconds after the start.

    The server has no influence on this schedule. Deadline and latency count from the time at which
    a call is due. If the client or the connection falls behind, the latency shows it.
    """

    per_second: float

    def __str__(self) -> str:
        return f"rate of {self.per_second:g}/s"


Load = MaxThroughput | ClosedLoop | OpenLoop
