"""The interface of everything that sends calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventflow.call import Call
    from eventflow.outcomes import Verdict


@dataclass
class ConnectionRecord:
    """Lifetime of one connection. All times are `time.monotonic` seconds."""

    opened_at: float
    ended_at: float | None = None
    why: str = ""
    """Reason for the end."""
    killed: bool = False
    """True if the peer or the network ended it with an error, or with calls in flight."""
    calls_lost: int = 0
    """Number of calls that were in flight when it ended."""


class Engine(Protocol):
    """A sender of calls that settles each of them once: `Channel`, `Pool`, or grpc.aio."""

    @property
    def room_listeners(self) -> list[Callable[[], None]]:
        """Callbacks for the moment when `writable` becomes true again."""
        ...

    @property
    def batch(self) -> int:
        """Number of calls to submit before yielding to the event loop, which reads responses."""
        ...

    @property
    def writable(self) -> bool:
        """True if no written bytes wait for the kernel."""
        ...

    @property
    def records(self) -> list[ConnectionRecord]:
        """Records of all connections, in the order in which they were opened."""
        ...

    @property
    def reissued(self) -> int:
        """Number of calls sent again because the peer had not processed them."""
        ...

    @property
    def echoes(self) -> list[float]:
        """Round-trip times of PINGs, seconds; empty if the engine cannot ping."""
        ...

    def ping(self) -> None:
        """Send a PING on the connection, if the engine can."""

    async def connect(self) -> None:
        """Open the connection.

        Raises:
            EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        """

    def submit(self, call: Call) -> None:
        """Accept a call; its `notify` runs when it is settled."""

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """End a call with a verdict of the caller's; do nothing if it has ended."""

    async def close(self) -> None:
        """Close the engine; settle the calls in flight as cancelled."""
