"""The client for calls from code: pacing, deadlines, and retries of unprocessed calls only."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from eventflow.call import Call
from eventflow.channel import Channel
from eventflow.engine import ConnectionRecord, Engine
from eventflow.errors import EventFlowError
from eventflow.kserve import (
    InferResponse,
    Tensor,
    grpc_message,
    infer_request,
    parse_infer_response,
)
from eventflow.ledger import Ledger
from eventflow.load import ClosedLoop, Load
from eventflow.load_generator import LoadGenerator, Plan
from eventflow.outcomes import INTERNAL_STATUS, Outcome, Verdict, other
from eventflow.retry import Retry, RetryingEngine
from eventflow.target import Target, Tls


@dataclass(frozen=True)
class Request:
    """An inference request."""

    model: str
    inputs: tuple[Tensor, ...]
    version: str = ""
    request_id: str = ""

    def framed(self) -> bytes:
        """Encode the request as a gRPC message."""
        return grpc_message(
            infer_request(self.model, self.inputs, version=self.version, request_id=self.request_id)
        )


@dataclass(frozen=True)
class Result:
    """The result of one call."""

    outcome: Outcome
    detail: str
    """Kind of result within the outcome."""
    message: str
    """Message of the server."""
    latency_seconds: float
    """Time from when the call was made or due until it ended."""
    attempts: int
    """Number of times the call was put on the wire."""
    response: InferResponse | None
    """Response of the model; None unless the outcome is OK."""

    @property
    def ok(self) -> bool:
        """True if the model answered."""
        return self.outcome is Outcome.OK

    @classmethod
    def of(cls, call: Call) -> Self:
        """Read a settled call; an invalid ModelInferResponse counts as INTERNAL, as in gRPC."""
        verdict, response = call.end, None
        if verdict.outcome is Outcome.OK:
            try:
                response = parse_infer_response(call.reply)
            except EventFlowError as error:
                verdict = other(INTERNAL_STATUS, str(error))
        latency = call.done_at - call.made_at
        return cls(*verdict[:3], latency, call.attempts, response)


class Client:
    """A client with one connection to a KServe v2 endpoint; it reconnects when that one ends.

    >>> async with Client("envoy-gateway:8080") as client:
    ...     result = await client.infer(Request("echo", (Tensor.of_strings("INPUT0", ["hi"]),)))
    """

    def __init__(
        self,
        endpoint: str,
        *,
        deadline_seconds: float = 2.0,
        retry: Retry | None = Retry(),  # noqa: B008 (frozen)
        tls: Tls | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Create a client; `async with` connects it.

        Args:
            endpoint: `host:port`.
            deadline_seconds: Deadline of each call, including its retries.
            retry: Retry policy; None retries nothing.
            tls: TLS settings; None means plaintext.
            metadata: Metadata of every call; the names are in lower case.

        Raises:
            EventFlowError: The endpoint is not `host:port`.
        """
        host, port = Target.parse(endpoint)
        headers = tuple((metadata or {}).items())
        self._target = Target(host=host, port=port, tls=tls, metadata=headers)
        self._deadline_seconds = deadline_seconds
        self._retry = retry
        self._channel: Channel | None = None
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        """Open the connection.

        Raises:
            EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        """
        self._channel = Channel(self._target)
        await self._channel.connect()
        self._engine = RetryingEngine(self._channel, self._retry) if self._retry else self._channel
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection; calls in flight end as cancelled."""
        if self._channel is not None:
            await self._channel.close()

    @property
    def connections(self) -> list[ConnectionRecord]:
        """Records of all connections."""
        return self._channel.records if self._channel else []

    async def infer(self, request: Request, *, deadline_seconds: float | None = None) -> Result:
        """Make one call and wait for its end; a cancelled caller cancels the call."""
        engine, now = self._ready(), time.monotonic()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline_at = now + (deadline_seconds or self._deadline_seconds)
        call = Call(0, request.framed(), now, deadline_at, partial(_wake, done))
        engine.submit(call)
        try:
            await done
        finally:
            engine.give_up(call, Verdict(Outcome.CANCELLED, "by the client"))
        return Result.of(call)

    async def infer_many(
        self,
        requests: Iterable[Request],
        *,
        load: Load = ClosedLoop(64),  # noqa: B008 (frozen)
    ) -> list[Result]:
        """Make a call for each request at the pace of `load`; return results in the same order."""
        messages = [request.framed() for request in requests]
        if not messages:
            return []
        ledger, results = Ledger(), dict[int, Result]()

        def settled(call: Call) -> None:
            ledger.settle(call)
            results[call.index] = Result.of(call)

        plan = Plan(load=load, calls=len(messages), deadline_seconds=self._deadline_seconds)
        generator = LoadGenerator(self._ready(), plan, messages.__getitem__, ledger.make, settled)
        try:
            await generator.run()
        finally:
            generator.stop()
        ledger.check(len(messages))
        return [results[index] for index in range(len(messages))]

    def _ready(self) -> Engine:
        if self._engine is None:
            raise EventFlowError("the client is not connected; use it with `async with`")
        return self._engine


def _wake(done: asyncio.Future[None], call: Call) -> None:  # noqa: ARG001 - engines pass it
    if not done.done():
        done.set_result(None)


async def infer_many(
    endpoint: str,
    requests: Iterable[Request],
    *,
    load: Load = ClosedLoop(64),  # noqa: B008 (frozen)
    deadline_seconds: float = 2.0,
    retry: Retry | None = Retry(),  # noqa: B008 (frozen)
    tls: Tls | None = None,
) -> list[Result]:
    """Connect, make a call for each request, and close the connection; see `Client`.

    Raises:
        EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        EventFlowError: The endpoint is not `host:port`.
    """
    client = Client(endpoint, deadline_seconds=deadline_seconds, retry=retry, tls=tls)
    async with client:
        return await client.infer_many(requests, load=load)
