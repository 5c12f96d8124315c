"""When a call counts as sent: when the kernel has taken its last byte, not when it was written."""

import asyncio
import math
from typing import Any

from eventflow.call import Call
from eventflow.http2 import frames as h2
from eventflow.http2.headers import HeadCache
from eventflow.http2.link import Link


class Full:
    """A transport whose kernel buffer is full until told otherwise."""

    def __init__(self, protocol: Link) -> None:
        self.full = False
        self.written = b""
        self._protocol = protocol

    def set_write_buffer_limits(self, **limits: int) -> None:
        assert limits["low"] == 0

    def write(self, data: bytes) -> None:
        self.written += data
        if self.full:
            self._protocol.pause_writing()


class Owner:
    """Hears everything and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_calls_are_stamped_when_the_kernel_has_taken_them() -> None:
    async def main() -> None:
        link = Link(Owner(), HeadCache(), 1000)
        transport = Full(link)
        link.connection_made(transport)  # type: ignore[arg-type]
        link.data_received(h2.settings({}))
        first, second = (Call(i, b"12345", 0.0, 1.0, lambda _: None) for i in range(2))

        link.connection.open(first, b"")
        link.write()
        assert not math.isnan(first.sent_at)

        transport.full = True
        link.connection.open(second, b"")
        link.write()
        assert transport.written.endswith(b"12345")
        assert math.isnan(second.sent_at)

        stamp = first.sent_at
        link.resume_writing()
        assert second.sent_at > stamp == first.sent_at

    asyncio.run(main())
