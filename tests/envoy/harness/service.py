"""A Kubernetes Service in miniature: new connections go to an endpoint, old ones stay."""

import asyncio
import itertools
import threading
from contextlib import suppress


class Service:
    """Forwards TCP from its own port to one of `endpoints` (ports of loopback) in turn."""

    def __init__(self, endpoints: list[int]) -> None:
        self.endpoints = list(endpoints)
        self.port = 0
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        endpoints = self.endpoints
        with suppress(OSError):
            port = endpoints[next(self._turn) % len(endpoints)]
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        writer.close()

    def __enter__(self) -> "Service":
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
