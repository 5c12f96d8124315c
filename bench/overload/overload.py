"""Overload of a fleet: a closed loop of calls until the fleet has grown, and its way back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.overload.burst_process import BurstProcess
from bench.overload.fleet import FleetStep, FleetWatch
from bench.overload.record import Record
from eventflow.fetch import Series, query_range

_SAMPLE_SECONDS = 1.0
"""Step of the queries to Prometheus, whose samples are older by up to its scrape interval."""


@dataclass(frozen=True, kw_only=True)
class Queries:
    """PromQL queries of a test bed; each yields one series at most."""

    signal: str
    """Query of the autoscaler."""
    in_flight: str
    """Calls in flight upstream."""
    refusals: str
    """Calls refused per second."""
    routed: str
    """Replicas that get calls; no value while gateways differ."""


@dataclass(frozen=True, kw_only=True)
class OverloadBed:
    """A fleet behind a gateway, with its Prometheus and its cluster."""

    name: str
    """Name in tables and plots."""
    address: str
    """`host:port` of the gateway in the cluster."""
    enter: tuple[str, ...]
    """Beginning of a command line that runs a client in the cluster's network."""
    options: tuple[str, ...] = ()
    """Options of the client that a locked gateway asks for."""
    prometheus: str
    """URL of its Prometheus."""
    client: Any
    """A `lightkube.Client` of its cluster."""
    namespace: str
    deployment: str
    """Name of the Deployment."""
    hpa: str
    """Name of its HorizontalPodAutoscaler."""
    least: int
    """Fewest replicas."""
    most: int
    """Most replicas."""
    growth_needs: float
    """Signal above which the autoscaler asks for more than the minimum."""
    replica_rps: float
    """Calls per second that one replica can answer."""
    queries: Queries


@dataclass(frozen=True, kw_only=True)
class Load:
    """Load on the fleet, and the longest duration of each part."""

    window: int = 400
    """Calls held on one connection."""
    deadline_seconds: float = 2.0
    niceness: int = 0
    """Niceness of the client, 0 to 19; a real client runs on another machine."""
    grow_seconds: float = 120.0
    """Longest time until all replicas are ready; the load then ends in any case."""
    settle_seconds: float = 10.0
    """Time after that for the gateway to find all replicas, and for their start-up load to end."""
    full_seconds: float = 20.0
    """Time after that in which goodput is measured."""
    shrink_seconds: float | None = None
    """Longest time for the fleet to shrink; no wait if unset."""


@dataclass(frozen=True, kw_only=True)
class Meanwhile:
    """Further actions at moments that only an overload brings about."""

    while_full: Callable[[], None] | None = None
    """Called when all replicas are ready and loaded, after the measurement of goodput."""
    when_spent: Callable[[], None] | None = None
    """Called after the load, while the cooldown still keeps all replicas."""


_NOTHING = Meanwhile()


def overload(
    bed: OverloadBed,
    load: Load,
    folder: Path,
    say: Callable[[str], None] = print,
    meanwhile: Meanwhile = _NOTHING,
) -> Record:
    """Overload a fleet at its minimum, and record its course.

    The record includes a fleet that does not grow, or does not shrink, in the time of `load`.

    Args:
        bed: The fleet; the load begins when all its replicas are ready.
        load: The load.
        folder: Existing folder for the client's files.
        say: Called with one line of progress at a time.
        meanwhile: Further actions, if the fleet grows to its maximum.

    Raises:
        TimeoutError: The fleet is not at its minimum at the beginning.
        OpsError: The client failed.
        EventFlowError: Prometheus cannot be asked.
    """
    with FleetWatch(bed.client, bed.namespace, bed.deployment, bed.hpa) as watch:

        def all_ready(step: FleetStep) -> bool:
            return step.ready == step.replicas == bed.most

        def at_least(step: FleetStep) -> bool:
            return step.ready == step.replicas == step.wanted == bed.least

        watch.until(at_least, load.grow_seconds)
        say(f"{bed.name}: {load.window} calls held against {bed.least} replicas")
        with BurstProcess.start(
            bed.address,
            window=load.window,
            deadline_seconds=load.deadline_seconds,
            enter=bed.enter,
            arguments=bed.options,
            niceness=load.niceness,
            folder=folder,
        ) as client:
            full = _within(watch, all_ready, load.grow_seconds)
            if full:
                say(f"{bed.name}: {bed.most} ready")
                # The duration of the load is given; there is no condition to watch.
                time.sleep(load.settle_seconds + load.full_seconds)
                if meanwhile.while_full:
                    meanwhile.while_full()
            report = client.stop()
        began_at = datetime.fromisoformat(report["started_at"]).timestamp()
        ended_at = began_at + report["seconds"]
        back = None
        if full and meanwhile.when_spent:
            meanwhile.when_spent()
        if full and load.shrink_seconds is not None:
            say(f"{bed.name}: the load has ended")
            back = _within(watch, at_least, load.shrink_seconds)
    until = back.at if back else ended_at

    def series(query: str) -> Series:
        found = query_range(bed.prometheus, query, began_at, until, _SAMPLE_SECONDS)
        return Series(tuple(at - began_at for at in found.at), found.values)

    return Record(
        name=bed.name,
        least=bed.least,
        most=bed.most,
        growth_needs=bed.growth_needs,
        replica_rps=bed.replica_rps,
        window=load.window,
        niceness=load.niceness,
        settle_seconds=load.settle_seconds,
        full_seconds=load.full_seconds,
        began_at=began_at,
        steps=tuple(watch.steps),
        back_at=back.at if back else None,
        signal=series(bed.queries.signal),
        in_flight=series(bed.queries.in_flight),
        refusals=series(bed.queries.refusals),
        routed=series(bed.queries.routed),
        client=report,
    )


def _within(
    watch: FleetWatch, predicate: Callable[[FleetStep], bool], timeout_seconds: float
) -> FleetStep | None:
    try:
        return watch.until(predicate, timeout_seconds)
    except TimeoutError:
        return None
