"""HTTP/2 by hand, for what no well-behaved client sends."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_NAMES = {_RST_STREAM: "RST_STREAM", _PING: "PING", _GOAWAY: "GOAWAY", _HEADERS: "HEADERS"}
_REFUSED_STREAM, _CANCEL = 7, 8
_END_HEADERS = 0x4
_END = 0x1 | _END_HEADERS  # with END_STREAM


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: bytes, value: bytes) -> bytes:
    """HPACK: literal without indexing, no Huffman."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def malformed_call(port: int) -> str:
    """Send a call without its mandatory `:path`; the frame that answers it, or `closed`."""
    block = _header(b":method", b"POST") + _header(b":scheme", b"http")
    return _answer(port, _frame(_HEADERS, _END, 1, block))


def _answer(
    port: int, frames: bytes, awaited: tuple[int, ...] = (_RST_STREAM, _GOAWAY, _HEADERS)
) -> str:
    """Send frames; return the name of the first awaited frame, or `closed`."""
    with (
        suppress(EOFError, ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=60) as sock,
    ):
        sock.sendall(_PREFACE + _frame(_SETTINGS, 0, 0) + frames)
        while True:
            length, kind = struct.unpack(">IB", b"\x00" + _read(sock, 4))
            _read(sock, 5 + length)
            if kind in awaited:
                return _NAMES[kind]
    return "closed"


def first_frame(
    port: int, path: str, headers: Mapping[str, str | None], *, end: bool = True
) -> str:
    """Send a request; the frame that answers it, or `closed`.

    Args:
        port: Of the gateway.
        path: What is asked for.
        headers: What differs from a gRPC call; None leaves a header out.
        end: Whether the request ends with its headers.
    """
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "gateway",
        ":path": path,
        "content-type": "application/grpc",
        **headers,
    }
    block = b"".join(_header(k.encode(), v.encode()) for k, v in fields.items() if v is not None)
    flags = _END if end else _END_HEADERS
    return _answer(port, _frame(_HEADERS, flags, 1, block))


def _indexed(name: int, value: bytes) -> bytes:
    """HPACK: a name of the static table, and a value that the dynamic table keeps."""
    return bytes([0x40 | name, len(value)]) + value


def _openings(calls: int, flags: int, body: bytes = b"") -> Iterator[bytes]:
    """Yield the HEADERS of calls on streams 1, 3, 5 and so on, each with the start of its body."""
    first = b"\x83\x86" + _indexed(4, b"/inference.GRPCInferenceService/ModelInfer")
    first += _indexed(1, b"gateway") + _indexed(31, b"application/grpc")
    first += b"\x40\x02te\x08trailers"
    again = b"\x83\x86\xc1\xc0\xbf\xbe"  # The same six headers, by index.
    for n in range(calls):
        headers = _frame(_HEADERS, flags, 2 * n + 1, again if n else first)
        yield headers + (_frame(_DATA, 0, 2 * n + 1, body) if body else b"")


def reset_each(port: int, calls: int) -> str:
    """Reset each of many calls right after it opens; return the frame that follows the last.

    Args:
        port: Port of the gateway.
        calls: Number of calls, all on one connection.

    Returns:
        `PING` if the gateway answers one, else `GOAWAY` or `closed`.
    """
    frames = [
        opening + reset(2 * n + 1, _CANCEL) for n, opening in enumerate(_openings(calls, _END))
    ]
    frames.append(_frame(_PING, 0, 0, bytes(8)))
    return _answer(port, b"".join(frames), awaited=(_PING, _GOAWAY))


def opened_and_reset(calls: int) -> bytes:
    """Return the frames of a caller that resets each of its calls right after its message."""
    openings = _openings(calls, _END_HEADERS, b"\x00")
    return b"".join(opening + reset(2 * n + 1, _CANCEL) for n, opening in enumerate(openings))


def burst(port: int, calls: int, complete: bool) -> int:
    """Send the beginning of many calls in one go, read only then; how many were answered.

    Args:
        port: Of the gateway.
        calls: How many.
        complete: Whether the calls end with their headers, or after a byte more is to come.
    """
    frames = _openings(calls, _END) if complete else _openings(calls, _END_HEADERS, b"\x00")
    answered = 0
    with suppress(EOFError, ConnectionError), socket.socket() as sock:
        # Small, so that what is not read soon waits in Envoy and not in the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", port))
        sock.sendall(_PREFACE + _frame(_SETTINGS, 0, 0) + b"".join(frames))
        while answered < calls:
            length, kind = struct.unpack(">IB", b"\x00" + _read(sock, 4))
            _read(sock, 5 + length)
            answered += kind == _HEADERS
    return answered


@contextmanager
def without_bodies(port: int, calls: int, connections: int) -> Iterator[None]:
    """Callers that open calls and send no byte of their bodies.

    Args:
        port: Port of the gateway.
        calls: Calls on each connection.
        connections: Number of connections.
    """
    with silent(port, GREETING + b"".join(_openings(calls, _END_HEADERS)), connections):
        yield


@contextmanager
def reads_nothing(host: str, port: int, *, greets: bool = False) -> Iterator[None]:
    """A replica that accepts connections and is stuck, at once or right after its SETTINGS."""
    with socket.socket() as listener, ExitStack() as accepted:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind((host, port))
        listener.listen()
        if greets:
            threading.Thread(target=_greet, args=(listener, accepted), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _greet(listener: socket.socket, accepted: ExitStack) -> None:
    with suppress(OSError):
        while True:
            sock = accepted.enter_context(listener.accept()[0])
            sock.sendall(_frame(_SETTINGS, 0, 0))


GREETING = _PREFACE + _frame(_SETTINGS, 0, 0)
"""First bytes of an HTTP/2 client."""


@contextmanager
def silent(
    port: int, sent: bytes = GREETING, connections: int = 1
) -> Iterator[list[socket.socket]]:
    """A caller that sends nothing after its first bytes, and answers no ping.

    Yields:
        Its connections.
    """
    with ExitStack() as stack:
        callers: list[socket.socket] = []
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            sock.sendall(sent)
            callers.append(sock)
        yield callers


def hung_up(sock: socket.socket, timeout_seconds: float) -> bool:
    """Return True if the peer closes a connection within a time, whatever it sends before."""
    sock.settimeout(timeout_seconds)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def reset(stream: int, code: int) -> bytes:
    """RST_STREAM with an HTTP/2 error code."""
    return _frame(_RST_STREAM, 0, stream, struct.pack(">I", code))


def refusal(stream: int) -> bytes:
    """RST_STREAM with REFUSED_STREAM."""
    return reset(stream, _REFUSED_STREAM)


def large_trailers(stream: int, size: int) -> bytes:
    """An error whose message has so many bytes, as one that repeats a caller's input."""
    status = b"\x88" + _indexed(31, b"application/grpc") + _header(b"grpc-status", b"13")
    length, rest = b"\x7f", size - 127  # HPACK: an integer of several bytes.
    while rest >= 128:
        length += bytes([rest % 128 | 128])
        rest //= 128
    block = status + b"\x00\x0cgrpc-message" + length + bytes([rest]) + b"x" * size
    frames = [block[n : n + 16384] for n in range(0, len(block), 16384)]
    kinds = [_HEADERS, *[_CONTINUATION] * (len(frames) - 1)]
    flags = [0x1, *[0] * (len(frames) - 1)]
    flags[-1] |= _END_HEADERS
    return b"".join(
        _frame(kind, flag, stream, part)
        for kind, flag, part in zip(kinds, flags, frames, strict=True)
    )


def malformed_answer(stream: int) -> bytes:
    """An answer without its mandatory `:status`."""
    return _frame(_HEADERS, _END, stream, _header(b"server", b"odd"))


@contextmanager
def answering(host: str, port: int, answer: Callable[[int], bytes]) -> Iterator[list[int]]:
    """A replica that gives the frames of `answer` to each call.

    Yields:
        How many calls each of its connections has brought so far.
    """
    calls: list[int] = []

    def serve(sock: socket.socket) -> None:
        number = len(calls)
        calls.append(0)
        with sock, suppress(EOFError, OSError):
            sock.sendall(_frame(_SETTINGS, 0, 0))
            _read(sock, len(_PREFACE))
            while True:
                length, kind, _, stream = struct.unpack(">IBBI", b"\x00" + _read(sock, 9))
                _read(sock, length)
                if kind == _HEADERS:
                    calls[number] += 1
                    sock.sendall(answer(stream))

    def accept() -> None:
        with suppress(OSError):
            while True:
                serving = threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True)
                serving.start()

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield calls
        finally:
            listener.shutdown(socket.SHUT_RDWR)
