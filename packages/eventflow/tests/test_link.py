"""The time at which a call counts as sent: the kernel has taken its last byte."""

import asyncio
import math
from typing import Any

import pytest

from eventflow.call import Call
from eventflow.http2 import frames as h2
from eventflow.http2.headers import HeadCache
from eventflow.http2.link import Link


class Full:
    """A transport that a test can make full or closed."""

    def __init__(self, protocol: Link) -> None:
        self.full = self.gone = self.closing = False
        self.written = b""
        self._protocol = protocol

    def set_write_buffer_limits(self, **limits: int) -> None:
        assert limits["low"] == 0

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.gone:
            self.closing = True
        if self.closing:
            return
        self.written += data
        if self.full:
            self._protocol.pause_writing()


class Owner:
    """A receiver that ignores all events."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def a_link() -> tuple[Link, Full]:
    """Return a link that is ready for calls, and its transport."""
    link = Link(Owner(), HeadCache(), 1000)
    transport = Full(link)
    link.connection_made(transport)  # type: ignore[arg-type]
    link.data_received(h2.settings({}))
    return link, transport


def a_call(number: int = 0) -> Call:
    return Call(number, b"12345", 0.0, 1.0, lambda _: None)


def test_a_call_counts_as_sent_when_the_kernel_has_taken_it() -> None:
    async def main() -> None:
        link, transport = a_link()
        first, second = a_call(0), a_call(1)

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


@pytest.mark.parametrize("how", ["closing before", "ended by the peer", "failing as it writes"])
def test_a_call_dropped_by_a_closing_connection_is_unsent_and_stays_with_it(how: str) -> None:
    async def main() -> None:
        link, transport = a_link()
        call = a_call()
        if how == "ended by the peer":
            link.eof_received()
        transport.closing = how == "closing before"
        transport.gone = how == "failing as it writes"

        link.connection.open(call, b"")
        link.write()

        assert math.isnan(call.sent_at)
        assert b"12345" not in transport.written
        assert list(link.connection.streams.values()) == [call]  # it ends with the connection

    asyncio.run(main())
