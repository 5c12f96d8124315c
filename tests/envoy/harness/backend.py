"""Fake replicas: KServe v2 gRPC endpoints on loopback addresses, with faults to switch on.

Each answers health checks on a port of its own, as the watchdog does.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import grpc.aio

from config.sections.inference import InferenceStack
from tests.envoy.harness.waiting import wait_until

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
FAIL, REFUSE = "fail", "refuse"
"""Before the name of the status that a call asks for: after its service time, or at once."""


def health_answer(*, serving: bool) -> bytes:
    """Return the watchdog's answer to a health check."""
    status = "200 OK" if serving else "503 Service Unavailable"
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),
    # Beyond 1,000 calls not yet picked up grpc-core cancels some at random.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
]

T = TypeVar("T")


class Replica(grpc.GenericRpcHandler):
    """One host: echoes a call's bytes after its service time, in as many slots as stated."""

    def __init__(self, host: str, service_seconds: float, parallelism: int) -> None:
        self.host = host
        self.service_seconds = service_seconds
        self.work: Callable[[float], Awaitable[object]] = asyncio.sleep
        self.serving = True
        self.failure: grpc.StatusCode | None = None
        self.strict = False
        self.calls = 0
        self.checks = 0
        self.deadlines = 0
        self.metadata: list[tuple[str, str | bytes]] = []
        self.active = 0
        self.peak = 0
        self._working = asyncio.Event()
        self._working.set()
        self._checked = asyncio.Event()
        self._checked.set()
        self._slots = asyncio.Semaphore(parallelism)
        self._server: grpc.aio.Server | None = None
        self._health_server: asyncio.Server | None = None
        self._checking: set[asyncio.StreamWriter] = set()

    def service(self, handler_call_details: Any) -> Any:
        match handler_call_details.method:
            case method if method == STREAM:
                return grpc.stream_stream_rpc_method_handler(self._stream)
            case method if self.strict and method != INFER:
                return None
            case _:
                return grpc.unary_unary_rpc_method_handler(self._infer)

    async def _health(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._checking.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.checks += 1
                await self._checked.wait()
                writer.write(health_answer(serving=self.serving))
        self._checking.remove(writer)
        writer.close()

    async def _infer(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        self.deadlines += context.time_remaining() is not None
        self.metadata = list(context.invocation_metadata())
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            await self._working.wait()
            if self.failure is not None:
                await context.abort(self.failure, "as told")
            how, _, status = request.decode(errors="replace").rpartition(" ")
            if how != REFUSE:
                async with self._slots:
                    await self.work(self.service_seconds)
            if how in (FAIL, REFUSE):
                await context.abort(grpc.StatusCode[status], "as asked")
            return request
        finally:
            self.active -= 1

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context
        self.calls += 1
        async for request in requests:
            await asyncio.sleep(self.service_seconds)
            yield request

    def hang(self) -> None:
        self._working.clear()

    def freeze(self) -> None:
        self._working.clear()
        self._checked.clear()

    def resume(self) -> None:
        self._working.set()
        self._checked.set()

    async def listen(self, port: int, health_port: int) -> None:
        self._health_server = await asyncio.start_server(self._health, self.host, health_port)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"{self.host}:{port}")
        await self._server.start()

    async def close(self) -> None:
        if self._health_server:
            self._health_server.close()
            for writer in self._checking:
                writer.transport.abort()
            self._health_server = None
        if self._server:
            await self._server.stop(None)
            self._server = None


class Fleet:
    """A stack's replicas on 127.0.0.2, 127.0.0.3 ..., served from one background thread."""

    def __init__(
        self, size: int, stack: InferenceStack, service_seconds: float, parallelism: int
    ) -> None:
        self.port = stack.triton.grpc_port
        self.health_port = stack.triton.watchdog.port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        hosts = [f"127.0.0.{n + 2}" for n in range(size)]
        self.replicas = [Replica(host, service_seconds, parallelism) for host in hosts]
        for replica in self.replicas:
            self.start(replica)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def start(self, replica: Replica) -> None:
        """Let a replica listen (again)."""
        self.run(replica.listen(self.port, self.health_port))

    def stop(self, replica: Replica) -> None:
        """Close a replica's connections and its port: connections to it are refused."""
        self.run(replica.close())

    def hang(self, *replicas: Replica) -> None:
        """Let replicas (all where none is given) hold their calls, and pass their health checks.

        So however long a test takes on a slow machine, they stay in the balance.
        """
        self._do(Replica.hang, replicas)

    def freeze(self, *replicas: Replica) -> None:
        """Let them answer nothing at all, health checks included."""
        self._do(Replica.freeze, replicas)

    def resume(self, *replicas: Replica) -> None:
        """Let them go on; calls that they still hold are answered."""
        self._do(Replica.resume, replicas)

    def _do(self, act: Callable[[Replica], None], replicas: tuple[Replica, ...]) -> None:
        for replica in replicas or self.replicas:
            self._loop.call_soon_threadsafe(act, replica)

    @property
    def hosts(self) -> list[str]:
        return [replica.host for replica in self.replicas]

    @property
    def calls(self) -> list[int]:
        """Calls that each replica has got."""
        return [replica.calls for replica in self.replicas]

    @property
    def active(self) -> int:
        """Calls that the replicas hold now."""
        return sum(replica.active for replica in self.replicas)

    def wait_for_active(self, count: int) -> None:
        """Wait until the replicas hold so many calls."""
        wait_until(f"{count} calls are with replicas", lambda: self.active == count)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for replica in self.replicas:
            self.stop(replica)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
