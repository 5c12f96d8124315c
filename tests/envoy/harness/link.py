"""A link with latency: a proxy that hands on each piece of data some time after it came."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 1 << 18


@contextmanager
def slow_link(port: int, one_way_seconds: float) -> Iterator[int]:
    """Open a port that leads to another one over a link with latency, and no other limit.

    Args:
        port: Port on loopback to which it leads.
        one_way_seconds: Latency of either direction.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            # Callbacks of equal delay keep their order.
            loop.call_later(one_way_seconds, writer.write, data)
        loop.call_later(one_way_seconds, writer.close)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            hand_on(reader, to_writer), hand_on(to_reader, writer), return_exceptions=True
        )

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(accept, "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
