"""The burst of the capacity summary, sent to a fleet."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.overload.burst_process import BurstProcess
from bench.overload.overload import OverloadBed
from config.sections.inference import InferenceStack
from config.sizing.capacity import BURST_CALLS, WORKER_CALLS_PER_SECOND, burst_ok
from eventflow.fetch import query_range
from eventflow.outcomes import Outcome
from ops.errors import OpsError

_BURST_SECONDS = 120.0
"""Longest time for all calls of a burst to be made and to end, and for the account."""

_ROUTED_SECONDS = 120.0
"""Longest time for the gateways to know a fleet: DNS, their health checks, and a scrape."""

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Burst:
    """One burst that met a fleet of one size."""

    replicas: int
    predicted: int
    """Calls of a burst of this length that `config.sizing.capacity` predicts to be answered."""
    report: dict[str, Any]
    """The client's own account."""

    @property
    def answered(self) -> int:
        """Calls answered in time."""
        return self.report["outcomes"][Outcome.OK]

    @property
    def share(self) -> float:
        """Answered to predicted."""
        return self.answered / self.predicted


def burst(bed: OverloadBed, stack: InferenceStack, replicas: int, folder: Path) -> Burst:
    """Send it on one connection once all gateways know the fleet; then wait for its end.

    Args:
        bed: The fleet.
        stack: What the prediction is made from.
        replicas: How many are ready.
        folder: An existing folder for the client's files.

    Raises:
        OpsError: The gateways do not know the fleet in time, or the client failed.
        EventFlowError: Prometheus cannot be asked.
    """
    wait_until_routed(bed, replicas)
    rate = WORKER_CALLS_PER_SECOND
    with BurstProcess.start(
        bed.address, calls=BURST_CALLS, rate=rate, enter=bed.enter, folder=folder
    ) as client:
        report = client.wait(_BURST_SECONDS)
    predicted = burst_ok(stack, replicas, issue_seconds=report["issue_seconds"])
    return Burst(replicas, predicted, report)


def wait_until_routed(bed: OverloadBed, replicas: int) -> None:
    """Wait until every gateway sends calls to so many replicas, by Prometheus.

    Raises:
        OpsError: Not in time.
        EventFlowError: Prometheus cannot be asked.
    """
    deadline = time.monotonic() + _ROUTED_SECONDS
    while True:
        now = time.time()
        seen = query_range(bed.prometheus, bed.queries.routed, now, now, 1).values
        if seen == (replicas,):
            return
        if time.monotonic() > deadline:
            raise OpsError(f"{bed.name}: not {replicas} replicas behind each gateway, but {seen}")
        time.sleep(_LOOK_SECONDS)
