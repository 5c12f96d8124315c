"""An HTTP/2 connection on an asyncio transport."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from typing import TYPE_CHECKING, Protocol, cast

from eventflow.errors import EndpointError
from eventflow.http2 import frames as h2
from eventflow.http2.connection import Connection
from eventflow.http2.frames import ProtocolError

if TYPE_CHECKING:
    from eventflow.call import Call
    from eventflow.http2.headers import HeadCache
    from eventflow.outcomes import Verdict

_TIME = struct.Struct(">d")


class LinkOwner(Protocol):
    """Receiver of a link's events."""

    def on_readable(self, link: Link) -> None:
        """Handle the end of a read; there may be room for further calls."""

    def on_writable(self, link: Link) -> None:
        """Handle the moment when the kernel has taken all written bytes."""

    def on_verdict(self, call: Call, verdict: Verdict) -> None:
        """Handle the end of a call."""

    def on_unprocessed(self, call: Call, verdict: Verdict) -> None:
        """Handle an unprocessed call; `verdict` applies unless the call is sent again."""

    def on_leaving(self, link: Link, why: str) -> None:
        """Handle a link that takes no further calls."""

    def on_echo(self, seconds: float) -> None:
        """Handle the response to a PING, with its round-trip time."""

    def on_closed(self, link: Link, why: str) -> None:
        """Handle a closed link; the calls in `link.connection.streams` are lost."""


class Link(asyncio.Protocol):
    """A protocol that moves bytes between a transport and a connection."""

    def __init__(self, owner: LinkOwner, heads: HeadCache, max_response_bytes: int) -> None:
        self._owner = owner
        self.connection = Connection(self, heads, max_response_bytes)
        self.ready = asyncio.get_running_loop().create_future()
        """Future that the peer's SETTINGS complete; it fails if the link closes before."""
        self.gone = asyncio.get_running_loop().create_future()
        """Future that is done when the connection is closed."""
        self.paused = False
        """True while written bytes wait for the kernel."""
        self.leaving = False
        """True if the link takes no further calls."""
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._unstamped: list[Call] = []
        self.why = ""
        """Reason for the end of the link; empty while it is unknown."""
        self._heard = b""
        self._ended_by_peer = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        # With these limits `resume_writing` runs when the kernel has taken the last byte. With a
        # high-water mark of 0, asyncio's TLS would never call it.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self.write()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self.connection.settled_in:
            self._heard = (self._heard + data)[:16]
        try:
            self.connection.receive(data)
        except ProtocolError as error:
            self._fail(error)
            return
        self.write()
        self._owner.on_readable(self)

    def eof_received(self) -> None:
        """See asyncio; the transport closes itself afterwards."""
        self._ended_by_peer = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.closed = self.leaving = True
        ended = "closed by the peer" if self._ended_by_peer else "closed"
        why = self.why or (_reason(exc) if exc else ended)
        if not self.ready.done():
            self.ready.set_exception(EndpointError(self._not_http2(why)))
            self.ready.exception()  # mark it as retrieved: nothing may wait for it any more
        self.gone.set_result(None)
        self._owner.on_closed(self, why)

    def pause_writing(self) -> None:
        """See asyncio."""
        self.paused = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self.paused = False
        self._stamp()
        self._owner.on_writable(self)

    def write(self) -> None:
        """Write the connection's output."""
        connection, transport = self.connection, self._transport
        if transport is None or not connection.output:
            return
        # A closing transport drops what it gets, so these bytes would never be sent.
        if self._ended_by_peer or transport.is_closing():
            return
        output = b"".join(connection.output)
        connection.output.clear()
        self._unstamped += connection.ended
        connection.ended.clear()
        transport.write(output)
        if not self.paused and not transport.is_closing():  # it closes if the kernel refuses
            self._stamp()

    def close(self, why: str) -> None:
        """Send GOAWAY and close."""
        self.why = self.why or why
        self.leaving = True
        if self._transport is not None and not self.closed:
            if not self._transport.is_closing():
                self.connection.output.append(h2.goaway(0, h2.ErrorCode.NO_ERROR))
                self.write()
            self._transport.close()

    def abort(self, why: str) -> None:
        """Close at once, without writing the remaining bytes."""
        self.why = self.why or why
        self.leaving = True
        if self._transport is not None and not self.closed:
            self._transport.abort()

    def on_settings(self) -> None:
        """See `Events`."""
        if not self.ready.done():
            self.ready.set_result(None)

    def on_verdict(self, call: Call, verdict: Verdict) -> None:
        """See `Events`."""
        self._owner.on_verdict(call, verdict)

    def on_unprocessed(self, call: Call, verdict: Verdict) -> None:
        """See `Events`."""
        self._owner.on_unprocessed(call, verdict)

    def ping(self) -> None:
        """Send a PING with the current time as its payload."""
        self.connection.output.append(h2.frame(h2.PING, 0, 0, _TIME.pack(time.monotonic())))
        self.write()

    def on_pong(self, payload: bytes) -> None:
        """See `Events`."""
        seconds = time.monotonic() - _TIME.unpack(payload)[0]
        if (
            0 <= seconds < time.monotonic()
        ):  # otherwise it is not the response to a PING of this link
            self._owner.on_echo(seconds)

    def on_goaway(self, code: int, debug: str) -> None:
        """See `Events`."""
        self.leaving = True
        why = f"GOAWAY {h2.error_name(code)}" + (f" ({debug[:80]})" if debug else "")
        if code != h2.ErrorCode.NO_ERROR:
            self.why = self.why or why
        self._owner.on_leaving(self, why)

    def _fail(self, error: ProtocolError) -> None:
        self.why = self.why or f"protocol error: {error}"
        with contextlib.suppress(OSError):
            self.connection.output.append(h2.goaway(0, error.code, str(error).encode()))
            self.write()
        self.abort(self.why)

    def _stamp(self) -> None:
        now = time.monotonic()
        for call in self._unstamped:
            call.sent_at = now
        self._unstamped.clear()

    def _not_http2(self, why: str) -> str:
        if self._heard.startswith(b"HTTP/1"):
            return "it speaks HTTP/1, not gRPC; Triton's gRPC port is 8001, its HTTP port 8000"
        if self._heard.startswith(b"\x15\x03"):
            return "it speaks TLS; use --tls"
        if self._heard:
            return f"it does not speak HTTP/2: {why}"
        return f"it ended the connection before speaking HTTP/2: {why}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionResetError):
        return "reset by the peer"
    return str(error) or type(error).__name__
