"""An HTTP/2 server that writes raw frames, so that it can break every rule."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

from hpack import Decoder

from eventflow.http2 import frames as h2
from eventflow.http2.headers import encode_stateless
from eventflow.kserve import grpc_message

WIDE = {h2.MAX_CONCURRENT_STREAMS: 2**31 - 1, h2.INITIAL_WINDOW_SIZE: 2**31 - 1}
RESPONSE_HEADERS = ((":status", "200"), ("content-type", "application/grpc"))
ANSWER = grpc_message(b"\x0a\x04echo")


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes


def block(status: int | None, message: str = "", *more: tuple[str, str], trailers_only=True):
    """Build a header block that ends a call with a status."""
    headers = list(RESPONSE_HEADERS) if trailers_only else []
    if status is not None:
        headers.append(("grpc-status", str(status)))
    if message:
        headers.append(("grpc-message", message))
    return encode_stateless((*headers, *more))


def end(stream_id: int, status: int | None, message: str = "", *more: tuple[str, str]) -> bytes:
    """Build a trailers-only response."""
    flags = h2.END_HEADERS | h2.END_STREAM
    return h2.frame(h2.HEADERS, flags, stream_id, block(status, message, *more))


def begin(stream_id: int, *more: tuple[str, str]) -> bytes:
    """Build response headers."""
    return h2.frame(
        h2.HEADERS, h2.END_HEADERS, stream_id, encode_stateless((*RESPONSE_HEADERS, *more))
    )


def finish(stream_id: int, status: int = 0, message: str = "") -> bytes:
    """Build the trailers after a body."""
    flags = h2.END_HEADERS | h2.END_STREAM
    return h2.frame(h2.HEADERS, flags, stream_id, block(status, message, trailers_only=False))


def ok(stream_id: int, answer: bytes = ANSWER) -> bytes:
    """Build a complete response with status OK."""
    return begin(stream_id) + h2.frame(h2.DATA, 0, stream_id, answer) + finish(stream_id)


def hang(peer: "Peer", stream_id: int) -> None:
    """Send no response."""


def breaker(stream_id: int) -> bytes:
    """Build Envoy's response when a circuit breaker trips."""
    message = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
    return end(stream_id, 14, message, ("x-envoy-overloaded", "true"))


class Peer:
    """An accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int):
        self.reader, self.writer, self.number = reader, writer, number
        self.frames_seen: list[Frame] = []
        self.open_now: set[int] = set()
        self.most_open = 0
        self._decoder = Decoder()
        self._whole: deque[int] = deque()

    async def greet(self, settings: dict[int, int] = WIDE, window: int = 2**31 - 1 - 65535):
        """Read the client's preface and send the server's."""
        assert await self.reader.readexactly(len(h2.PREFACE)) == h2.PREFACE
        self.send(h2.settings(settings))
        if window:
            self.send(h2.window_update(0, window))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reply(self, stream_id: int, data: bytes) -> None:
        """Send bytes that end a stream."""
        self.open_now.discard(stream_id)
        self.send(data)

    async def frame(self) -> Frame:
        """Read one frame."""
        head = await self.reader.readexactly(9)
        high, low, kind, flags, stream_id = h2.FRAME_HEADER.unpack(head)
        payload = await self.reader.readexactly(high << 8 | low)
        frame = Frame(kind, flags, stream_id, payload)
        self.frames_seen.append(frame)
        if kind == h2.HEADERS:
            self.open_now.add(stream_id)
            self.most_open = max(self.most_open, len(self.open_now))
        if kind == h2.DATA and flags & h2.END_STREAM:
            self._whole.append(stream_id)
        if kind == h2.RST_STREAM:
            self.open_now.discard(stream_id)
        if kind == h2.SETTINGS and not flags & h2.ACK:
            self.send(h2.frame(h2.SETTINGS, h2.ACK, 0))
        return frame

    async def requests(self) -> AsyncIterator[int]:
        """Yield the stream of each complete request until the client disconnects."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                while self._whole:
                    yield self._whole.popleft()
                await self.frame()

    def headers_of(self, stream_id: int) -> dict[str, str]:
        """Return the request headers of a stream."""
        payload = next(
            f.payload for f in self.frames_seen if f.kind == h2.HEADERS and f.stream_id == stream_id
        )
        return {str(name): str(value) for name, value in self._decoder.decode(payload)}

    def resets(self) -> set[int]:
        """Return the streams that the client reset."""
        return {f.stream_id for f in self.frames_seen if f.kind == h2.RST_STREAM}

    async def heard(self) -> None:
        """Wait until the client has handled all bytes sent so far."""
        self.send(h2.frame(h2.PING, 0, 0, b"are you?"))
        while (await self.frame())[:2] != (h2.PING, h2.ACK):
            pass

    def abort(self) -> None:
        """Cut the connection: the client gets a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


async def gather(peer: Peer, count: int) -> list[int]:
    """Greet, and wait for a number of complete requests."""
    await peer.greet()
    streams: list[int] = []
    async for stream in peer.requests():
        streams.append(stream)
        if len(streams) == count:
            break
    return streams


class Hostile:
    """A running server with the connections that it has accepted."""

    def __init__(self) -> None:
        self.port = 0
        self.listener: asyncio.Server
        self.peers: list[Peer] = []


@contextlib.asynccontextmanager
async def hostile(
    behave: Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Hostile]:
    """Serve each connection with `behave`; an exception in it fails the test."""
    server, tasks, failures = Hostile(), set[asyncio.Task[None]](), list[BaseException]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, len(server.peers))
        server.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behave(peer)
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls, limit=2**24)
    server.listener = listener
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if failures:
            raise failures[0]


def serving(
    answer: Callable[[Peer, int], None], settings: dict[int, int] = WIDE
) -> Callable[[Peer], Awaitable[None]]:
    """Return a behaviour that calls `answer(peer, stream_id)` for each complete request."""

    async def behave(peer: Peer) -> None:
        await peer.greet(settings)
        async for stream_id in peer.requests():
            answer(peer, stream_id)

    return behave


@contextlib.contextmanager
def hostile_thread(behave: Callable[[Peer], Awaitable[None]]) -> Iterator[Hostile]:
    """Run a hostile server in its own thread, for clients with their own event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    serve = hostile(behave)
    try:
        yield asyncio.run_coroutine_threadsafe(serve.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(serve.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
