"""A burst whose calls several processes make together."""

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier
from types import FrameType

from eventflow.errors import EndpointError, EventFlowError
from eventflow.load import ClosedLoop, Load, OpenLoop
from eventflow.load_generator import Plan
from eventflow.outcomes import Outcome
from eventflow.run import Burst, Progress, Run, run_burst

_CONNECT_GRACE_SECONDS = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def share(burst: Burst, number: int, processes: int) -> Burst:
    """Return the share of a burst that one of several processes makes.

    Raises:
        EventFlowError: There are fewer calls, or calls in flight, than processes.
    """
    plan = burst.plan

    def part(whole: int, what: str) -> int:
        if whole < processes:
            raise EventFlowError(f"{what} of {whole} cannot be divided among {processes} processes")
        return whole // processes + (number < whole % processes)

    load: Load = plan.load
    # By kind: a load does not know processes.
    if isinstance(load, OpenLoop):
        load = OpenLoop(load.per_second / processes)
    elif isinstance(load, ClosedLoop):
        load = ClosedLoop(part(load.size, "a window"))
    calls = None if plan.calls is None else part(plan.calls, "a burst")
    return replace(burst, plan=replace(plan, load=load, calls=calls))


def run_processes(
    burst: Burst, processes: int, watch: Callable[[Progress], None] | None = None
) -> Run:
    """Make the calls of a burst from several processes that start together; see `run_burst`.

    Raises:
        EventFlowError: The endpoint cannot be reached, or a process died.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    pipes: list[Connection] = []
    workers: list[SpawnProcess] = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        work = share(burst, number, processes)
        worker = context.Process(target=_work, args=(work, barrier, theirs), daemon=True)
        worker.start()
        theirs.close()
        pipes.append(ours)
        workers.append(worker)

    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signals pass them
        nonlocal interrupted
        interrupted = True
        for worker in workers:
            worker.terminate()  # SIGTERM ends a run early

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        runs = _gather(pipes, watch)
    except EventFlowError:
        if interrupted:  # before all processes had begun: there is nothing to report
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for worker in workers:
            worker.join(timeout=5)
            worker.terminate()
    return join(runs, burst.plan)


def _gather(pipes: list[Connection], watch: Callable[[Progress], None] | None) -> list[Run]:
    runs: dict[Connection, Run] = {}
    latest: dict[Connection, Progress] = {}
    failure: EventFlowError | None = None
    open_pipes = list(pipes)
    while open_pipes:
        for pipe in wait(open_pipes):
            assert isinstance(pipe, Connection)  # noqa: S101 - wait() returns its own arguments
            try:
                received = pipe.recv()
            except EOFError:
                open_pipes.remove(pipe)
                if pipe not in runs and failure is None:
                    failure = EventFlowError("a process of the burst died")
                continue
            if isinstance(received, Run):
                runs[pipe] = received
            elif isinstance(received, EventFlowError):
                if failure is None or isinstance(received, EndpointError):
                    failure = received
            else:
                latest[pipe] = received
                if watch is not None:
                    watch(_sum(latest.values()))
    if failure is not None:
        raise failure
    return [runs[pipe] for pipe in pipes]


def _sum(parts: Iterable[Progress]) -> Progress:
    made = in_flight = connections = 0
    counts = Counter[Outcome]()
    for part in parts:
        made += part.made
        in_flight += part.in_flight
        counts += part.counts
        connections += part.connections
    return Progress(made, in_flight, counts, connections)


def join(runs: list[Run], plan: Plan) -> Run:
    """Join the runs of several processes into one.

    Raises:
        AccountingError: Together the runs do not hold the planned calls.
    """
    calls = plan.calls_of(sum(run.ledger.made for run in runs))
    whole = runs[0]
    for run in runs[1:]:
        whole.ledger.join(run.ledger)
        whole.records += run.records
        whole.started_at = min(whole.started_at, run.started_at)
        whole.ended_at = max(whole.ended_at, run.ended_at)
        whole.cpu_seconds += run.cpu_seconds
        whole.reissued += run.reissued
        whole.echoes += run.echoes
        whole.interrupted |= run.interrupted
    whole.ledger.check(calls)
    return whole


def _work(burst: Burst, barrier: Barrier, pipe: Connection) -> None:
    def ready() -> None:
        barrier.wait(_CONNECT_GRACE_SECONDS)

    async def main() -> None:
        pipe.send(await run_burst(burst, pipe.send, ready))

    try:
        asyncio.run(main())
    except EventFlowError as error:
        barrier.abort()
        pipe.send(error)
    except (Exception, KeyboardInterrupt) as error:
        barrier.abort()
        pipe.send(EventFlowError(f"a process of the burst failed: {error!r}"))
    with suppress(OSError):
        pipe.close()
