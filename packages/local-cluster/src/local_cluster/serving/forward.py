"""Forwards loopback ports of the machine into the node's network namespace.

A bare interpreter runs it: standard library only. Arguments: the file of the namespace, the address
of the cluster's name server, and `PORT=HOST:PORT` for each port. A host name is resolved for every
connection, so it may appear and disappear.
"""

import asyncio
import ctypes
import ipaddress
import os
import socket
import struct
import sys
from typing import cast

_CLONE_NEWNET = 0x40000000
_DNS_PORT = 53
_LOOKUP_SECONDS = 2.0
_ACCEPT_AGAIN_SECONDS = 0.5
_HIGH_WATER_BYTES = 1 << 20
_RESET_AT_CLOSE = struct.pack("ii", True, 0)


class _Lookup(asyncio.DatagramProtocol):
    def __init__(self, answer: "asyncio.Future[bytes]") -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's names
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def _skip_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:  # a pointer, which ends the name
            return at + 2
        at += length + 1
    return at + 1


def _first_address(message: bytes) -> str | None:
    at = _skip_name(message, 12) + 4
    for _ in range(struct.unpack(">H", message[6:8])[0]):
        at = _skip_name(message, at)
        kind, _, _, length = struct.unpack(">HHIH", message[at : at + 10])
        at += 10
        if kind == 1:
            return str(ipaddress.IPv4Address(message[at : at + length]))
        at += length
    return None


async def look_up(name: str, server: str) -> str:
    """Return the first IPv4 address of a name (RFC 1035).

    Raises:
        OSError: The name has no address, or the server's answer is missing or malformed.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Lookup(answer), remote_addr=(server, _DNS_PORT)
    )
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack(">HH", 1, 1)
    # Each question has a socket of its own, so its id carries no information.
    transport.sendto(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + question)
    try:
        message = await asyncio.wait_for(answer, _LOOKUP_SECONDS)
    except TimeoutError as error:
        raise OSError(f"no answer for {name}") from error
    finally:
        transport.close()
    try:
        address = _first_address(message)
    except (struct.error, IndexError, ipaddress.AddressValueError) as error:
        raise OSError(f"malformed answer for {name}: {error}") from error
    if address is None:
        raise OSError(f"{name} has no address")
    return address


class _End(asyncio.Protocol):
    """One end of a connection, which passes its input to the other end."""

    def __init__(self, *, paused: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._paused = paused
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(_HIGH_WATER_BYTES)
        if self._paused:
            self.transport.pause_reading()

    def resume(self) -> None:
        """Start to read."""
        if self.transport and not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        if self.other and self.other.transport:
            self.other.transport.write_eof()
        # It stays open until both ends have ended: one may still have answers.
        return not (self.other and self.other._has_ended)

    def connection_lost(self, exc: Exception | None) -> None:
        other = self.other and self.other.transport
        if not other or other.is_closing():
            return
        if exc:
            # A reset stays a reset, so that the caller learns that its connection broke.
            connection = other.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            other.abort()
        else:
            other.close()

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()


async def serve(listener: socket.socket, host: str, port: int, name_server: str) -> None:
    """Accept connections for ever."""
    loop = asyncio.get_running_loop()

    async def relay(connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_name = not host.replace(".", "").isdigit()
            address = await look_up(host, name_server) if is_name else host
            inner, outer = _End(paused=True), _End()
            await loop.create_connection(lambda: inner, address, port)
        except OSError as error:
            print(f"{host}:{port}: {error}", file=sys.stderr, flush=True)
            connection.close()
            return
        # Link both ends before either reads: the gateway sends first (SETTINGS).
        inner.other, outer.other = outer, inner
        await loop.connect_accepted_socket(lambda: outer, connection)
        inner.resume()

    running: set[asyncio.Task[None]] = set()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError as error:
            # Most likely too many open files; it passes once other connections end.
            print(f"{host}:{port}: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
            continue
        task = asyncio.create_task(relay(connection))
        running.add(task)
        task.add_done_callback(running.discard)


async def _serve_all(wanted: list[tuple[socket.socket, str, int]], name_server: str) -> None:
    await asyncio.gather(*(serve(*entry, name_server) for entry in wanted))


def main() -> None:
    """Listen in the machine's namespace, then enter the node's and connect from there."""
    namespace, name_server, *rules = sys.argv[1:]
    wanted: list[tuple[socket.socket, str, int]] = []
    for rule in rules:
        port, _, target = rule.partition("=")
        host, _, target_port = target.rpartition(":")
        listener = socket.create_server(("127.0.0.1", int(port)), backlog=1024)
        listener.setblocking(False)
        wanted.append((listener, host, int(target_port)))
    descriptor = os.open(namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    os.close(descriptor)
    asyncio.run(_serve_all(wanted, name_server))


if __name__ == "__main__":
    main()
