"""The forwarder passes on bytes, ends and resets, and releases a connection that has ended.

Without a namespace and a real name server: those are the serving cluster's to show.
"""

import asyncio
import resource
import socket
import struct
from collections.abc import Awaitable, Callable

import psutil
import pytest

from local_cluster.serving import forward
from local_cluster.serving.forward import serve

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_PATIENCE_SECONDS = 10


def forwarded(
    answer: Answer, scenario: Callable[[int], Awaitable[None]], host: str = "127.0.0.1"
) -> None:
    """Run a scenario against the port that leads to a server that answers, by its host's name."""

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        forwarder = asyncio.create_task(serve(listener, host, port, "127.0.0.1"))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await scenario(listener.getsockname()[1])
        finally:
            forwarder.cancel()
            listener.close()
            server.close()

    asyncio.run(run())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def answer_after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"all of " + await reader.read())
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


@pytest.mark.parametrize("ends_first", ["client", "server"])
def test_a_connection_that_is_over_holds_no_file(ends_first: str) -> None:
    """A client may come as often as it likes: a file left of each would end the forwarder."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))
        writer.close()

    async def scenario(port: int) -> None:
        before = psutil.Process().num_fds()
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            if ends_first == "server":
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        while psutil.Process().num_fds() > before:
            await asyncio.sleep(0.01)

    forwarded(echo if ends_first == "client" else once, scenario)


def test_an_answer_may_come_after_the_question_has_ended() -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"it")
        writer.write_eof()
        assert await reader.read() == b"all of it"
        writer.close()

    forwarded(answer_after_the_end, scenario)


def test_a_reset_stays_a_reset() -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    forwarded(reset, scenario)


def test_connections_wait_while_the_limit_of_open_files_is_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It takes them once it can. Not shown: how many it can hold."""

    async def scenario(port: int) -> None:
        loop = asyncio.get_running_loop()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
            try:
                await loop.sock_connect(client, ("127.0.0.1", port))
                while "Too many open files" not in capsys.readouterr().err:
                    await asyncio.sleep(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            await loop.sock_sendall(client, b"x")
            assert await loop.sock_recv(client, 1) == b"x"

    forwarded(echo, scenario)


def _answer(*records: bytes) -> bytes:
    """A DNS message that has the forwarder's question in it, and these for answers."""
    question = b"\5fleet\7example\0" + struct.pack(">HH", 1, 1)
    return struct.pack(">6H", 1, 0x8180, 1, len(records), 0, 0) + question + b"".join(records)


def _address(data: bytes) -> bytes:
    """An A record for the name in the question."""
    return b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, len(data)) + data


class _NameServer(asyncio.DatagramProtocol):
    """Answers each question with the next of some messages."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = iter(messages)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, _: bytes, addr: object) -> None:
        self._transport.sendto(next(self._messages), addr)


GOOD = _answer(_address(bytes([127, 0, 0, 1])))


@pytest.mark.parametrize(
    "malformed",
    [b"\0", GOOD[:6], GOOD[:20], GOOD[:-8], GOOD[:-1], _answer(_address(b"127.0.0.1"))],
    ids=["a byte", "no header", "no question", "no record", "a short address", "a long address"],
)
def test_an_answer_that_is_no_dns_ends_its_connection_and_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], malformed: bytes
) -> None:
    async def scenario(port: int) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _NameServer([malformed, GOOD]), local_addr=("127.0.0.1", 0)
        )
        monkeypatch.setattr(forward, "_DNS_PORT", transport.get_extra_info("sockname")[1])
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            assert "malformed answer for fleet.example" in capsys.readouterr().err
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            writer.close()
        finally:
            transport.close()

    forwarded(echo, scenario, host="fleet.example")
