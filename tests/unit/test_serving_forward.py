"""The forwarder hands on bytes, ends and resets, and keeps nothing of a connection that is over.

Without a namespace and a name server: those are the serving cluster's to show.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import psutil
import pytest

from local.serving.forward import serve

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_PATIENCE_SECONDS = 10


def forwarded(answer: Answer, scenario: Callable[[int], Awaitable[None]]) -> None:
    """Run a scenario against the port that leads to a server that answers."""

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        forwarder = asyncio.create_task(serve(listener, "127.0.0.1", port, ""))
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
