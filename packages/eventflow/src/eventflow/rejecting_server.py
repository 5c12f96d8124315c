"""A server that rejects every call at once, as a gateway with a tripped circuit breaker does.

Benchmarks measure clients with it: `python -m eventflow.rejecting_server` prints its port. It reads
no header and keeps no state per stream, so it is faster than the clients.
"""

import asyncio

from eventflow.http2 import frames as h2
from eventflow.http2.headers import encode_stateless

_BLOCK = encode_stateless(
    (
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "14"),
        ("grpc-message", "reset reason: overflow"),
        ("x-envoy-overloaded", "true"),
    )
)
_HEAD = h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 0, _BLOCK)[:5]
_WIDE = {h2.MAX_CONCURRENT_STREAMS: h2.MAX_STREAM_ID, h2.INITIAL_WINDOW_SIZE: h2.MAX_WINDOW_BYTES}
_TOP_UP_BYTES = 1024 * 1024


class RejectingConnection(asyncio.Protocol):
    """A connection whose calls are all rejected."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._rest = b""
        self._greeted = False
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream has no other type
        self._transport = transport
        window = h2.window_update(0, h2.MAX_WINDOW_BYTES - h2.DEFAULT_WINDOW_BYTES)
        transport.write(h2.settings(_WIDE) + window)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        data = self._rest + data
        position, end = 0, len(data)
        if not self._greeted and end >= len(h2.PREFACE):
            self._greeted, position = True, len(h2.PREFACE)
        out: list[bytes] = []
        while self._greeted and end - position >= h2.FRAME_HEADER_BYTES:
            high, low, kind, flags, _ = h2.FRAME_HEADER.unpack_from(data, position)
            start = position + h2.FRAME_HEADER_BYTES
            stop = start + (high << 8 | low)
            if stop > end:
                break
            if kind == h2.DATA:
                self._received += stop - start
                if flags & h2.END_STREAM:
                    out += (_HEAD, data[position + 5 : start], _BLOCK)
            elif kind in (h2.SETTINGS, h2.PING) and not flags & h2.ACK:
                payload = data[start:stop] if kind == h2.PING else b""
                out.append(h2.frame(kind, h2.ACK, 0, payload))
            position = stop
        self._rest = data[position:]
        if self._received >= _TOP_UP_BYTES:
            out.append(h2.window_update(0, self._received))
            self._received = 0
        if out:
            self._transport.write(b"".join(out))


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until killed."""
    server = await asyncio.get_running_loop().create_server(RejectingConnection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
