"""What sends calls, whichever way it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventflow.call import Call
    from eventflow.outcomes import Verdict


@dataclass
class ConnectionRecord:
    """One connection's life; times in seconds of `time.monotonic`."""

    opened_at: float
    ended_at: float | None = None
    why: str = ""
    """How it ended."""
    killed: bool = False
    """Ended by the peer or the network, and not in peace: with an error, or calls in flight."""
    calls_lost: int = 0
    """Calls that it took with it."""


class Engine(Protocol):
    """Sends calls and settles each of them once: `Channel`, several of them, or grpc.aio."""

    @property
    def room_listeners(self) -> list[Callable[[], None]]:
        """Whom to call when there is room again after `writable` was false."""
        ...

    @property
    def batch(self) -> int:
        """Calls to submit before the event loop gets its turn, and answers are read."""
        ...

    @property
    def writable(self) -> bool:
        """Whether the kernel takes more: nothing that was written waits."""
        ...

    @property
    def records(self) -> list[ConnectionRecord]:
        """Every connection there was."""
        ...

    @property
    def reissued(self) -> int:
        """Calls that were sent again because the peer had not processed them."""
        ...

    @property
    def echoes(self) -> list[float]:
        """Round trips of PINGs on the connection, seconds; empty where an engine cannot ping."""
        ...

    def ping(self) -> None:
        """Have the peer echo a PING on the connection, if the engine can."""

    async def connect(self) -> None:
        """Open the connection.

        Raises:
            EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        """

    def submit(self, call: Call) -> None:
        """Take a call; its `notify` is called when it is settled."""

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """End a call with a verdict of the caller's; nothing happens if it has ended."""

    async def close(self) -> None:
        """Close; calls under way are settled as cancelled."""
