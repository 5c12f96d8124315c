"""An engine with several connections."""

from collections.abc import Callable

from eventflow.call import Call
from eventflow.channel import FLUSH_CALLS, Channel
from eventflow.engine import ConnectionRecord
from eventflow.outcomes import Verdict
from eventflow.target import Target


class Pool:
    """Several channels to one target, which get calls in turn."""

    def __init__(self, target: Target, connections: int) -> None:
        self._channels = [Channel(target) for _ in range(connections)]
        self.batch = FLUSH_CALLS
        """See `Engine`."""
        self.room_listeners: list[Callable[[], None]] = []
        """See `Engine`."""
        for channel in self._channels:
            channel.room_listeners.append(self._tell_room)

    @property
    def writable(self) -> bool:
        """See `Engine`; one full socket stops all, because the channels get calls in turn."""
        return all(channel.writable for channel in self._channels)

    @property
    def records(self) -> list[ConnectionRecord]:
        """See `Engine`."""
        return [record for channel in self._channels for record in channel.records]

    @property
    def reissued(self) -> int:
        """See `Engine`."""
        return sum(channel.reissued for channel in self._channels)

    @property
    def echoes(self) -> list[float]:
        """See `Engine`."""
        return [echo for channel in self._channels for echo in channel.echoes]

    def ping(self) -> None:
        """See `Engine`."""
        for channel in self._channels:
            channel.ping()

    async def connect(self) -> None:
        """See `Engine`."""
        for channel in self._channels:
            await channel.connect()

    def submit(self, call: Call) -> None:
        """See `Engine`."""
        self._channel_of(call).submit(call)

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """See `Engine`."""
        self._channel_of(call).give_up(call, verdict)

    async def close(self) -> None:
        """See `Engine`."""
        for channel in self._channels:
            await channel.close()

    def _channel_of(self, call: Call) -> Channel:
        return self._channels[call.index % len(self._channels)]

    def _tell_room(self) -> None:
        if self.writable:
            for listener in self.room_listeners:
                listener()
