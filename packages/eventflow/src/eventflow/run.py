"""A run: the calls of a burst on one engine, in this process."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from eventflow.call import Call
from eventflow.channel import Channel
from eventflow.engine import ConnectionRecord, Engine
from eventflow.errors import EventFlowError
from eventflow.kserve import parse_infer_response
from eventflow.ledger import Ledger
from eventflow.load_generator import LoadGenerator, Plan
from eventflow.outcomes import Outcome
from eventflow.pool import Pool
from eventflow.retry import Retry, RetryingEngine
from eventflow.target import Target

EngineName = Literal["fast", "grpcio"]

_TICK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Parameters of a run."""

    target: Target
    plan: Plan
    message: bytes
    """Request of every call, with the gRPC prefix."""
    engine: EngineName = "fast"
    connections: int = 1
    """Number of connections per process."""
    retry: Retry | None = None
    """Retry policy; None leaves only gRPC's transparent retry."""
    echo_seconds: float | None = None
    """Interval of PINGs, which measure the round trip of the connection itself; unset sends none.

    A gRPC server treats many PINGs as an attack; a gateway does not.
    """
    pod_header: str | None = None
    """Name of the response metadata that holds the replica's name."""
    pod_parameter: str | None = None
    """Name of the response parameter that holds the replica's name."""


class Progress(NamedTuple):
    """Progress of a run."""

    made: int
    in_flight: int
    counts: Counter[Outcome]
    connections: int


@dataclass
class Run:
    """The result of a run. All times are `time.monotonic` seconds."""

    ledger: Ledger
    records: list[ConnectionRecord]
    started_at: float
    ended_at: float
    cpu_seconds: float
    """CPU time of the process during the run."""
    reissued: int = 0
    """Number of calls sent again because the peer had not processed them."""
    interrupted: bool = False
    echoes: list[float] = field(default_factory=list[float])
    """Round-trip times of PINGs, seconds."""
    epoch_offset: float = field(default_factory=lambda: time.time() - time.monotonic())
    """Difference between `time.time` and `time.monotonic`."""


def make_engine(burst: Burst) -> Engine:
    """Create the engine of a burst, without connecting it.

    Raises:
        EventFlowError: Package grpcio is missing, or the burst wants it for several connections.
    """
    engine: Engine
    if burst.engine == "grpcio":
        try:
            from eventflow.grpcio_engine import GrpcioEngine
        except ImportError as error:
            raise EventFlowError("--engine grpcio needs grpcio: pip install grpcio") from error

        if burst.connections > 1:
            raise EventFlowError("--engine grpcio has one connection per process")
        engine = GrpcioEngine(burst.target)
    elif burst.connections > 1:
        engine = Pool(burst.target, burst.connections)
    else:
        engine = Channel(burst.target)
    return RetryingEngine(engine, burst.retry) if burst.retry else engine


async def run_burst(
    burst: Burst,
    watch: Callable[[Progress], None] | None = None,
    ready: Callable[[], None] | None = None,
) -> Run:
    """Make the calls of a burst and account for each.

    SIGINT and SIGTERM end the run early: calls in flight and calls not made count as cancelled. The
    handlers stay until the event loop ends, so that a second signal does not cut the account short.

    Args:
        burst: Parameters of the run.
        watch: Callback that gets the progress a few times a second.
        ready: Callback that runs after the connection and before the first call. It may block until
            other processes are ready.

    Raises:
        EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
    """
    engine, ledger = make_engine(burst), Ledger()
    await engine.connect()
    if ready is not None:
        ready()
    names_pod = burst.pod_header or burst.pod_parameter

    def settled(call: Call) -> None:
        ledger.settle(call)
        if names_pod and call.end.outcome is Outcome.OK:
            ledger.pods[_pod(burst, call)] += 1

    generator = LoadGenerator(engine, burst.plan, lambda _: burst.message, ledger.make, settled)
    interrupted = asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        generator.stop()

    loop = asyncio.get_running_loop()
    with suppress(RuntimeError, NotImplementedError):  # not in the main thread; not on Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)

    async def tick() -> None:
        while watch is not None:
            connections = len(engine.records)
            watch(Progress(ledger.made, generator.in_flight, ledger.counts.copy(), connections))
            await asyncio.sleep(_TICK_SECONDS)

    async def echo() -> None:
        while burst.echo_seconds is not None:
            engine.ping()
            await asyncio.sleep(burst.echo_seconds)

    beside = [asyncio.create_task(tick()), asyncio.create_task(echo())]
    cpu_before = time.process_time()
    try:
        await generator.run()
    finally:
        ended_at, cpu_seconds = time.monotonic(), time.process_time() - cpu_before
        for task in beside:
            task.cancel()
        await engine.close()
    ledger.check(generator.calls)
    if isinstance(engine, RetryingEngine):
        ledger.retries = engine.retries
    return Run(
        ledger=ledger,
        records=engine.records,
        started_at=generator.started_at,
        ended_at=ended_at,
        cpu_seconds=cpu_seconds,
        reissued=engine.reissued,
        echoes=engine.echoes,
        interrupted=interrupted.is_set(),
    )


def _pod(burst: Burst, call: Call) -> str:
    """Return the name of the replica according to the response."""
    if burst.pod_header:
        for part in (call.trailers, call.head):
            if part is not None and burst.pod_header in part.metadata:
                return part.metadata[burst.pod_header]
    if burst.pod_parameter:
        with suppress(EventFlowError):
            parameters = parse_infer_response(call.reply).parameters
            if burst.pod_parameter in parameters:
                return str(parameters[burst.pod_parameter])
    return "not named"
