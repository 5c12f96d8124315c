"""The usual design's literal gateway and scaler, under the load that the stack is made for.

It runs beside the stack on the same node, images and sample model, with a Prometheus of its own
that is configured as the stack's is. `bench.baseline.documents` lists every difference.
Not shown here: that it stays so for longer than the load lasts; how it does once its faults are
repaired one at a time, nor how the stack does under the same load (`make bench` shows both); what
its client would see over a real network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import Namespace

from bench.baseline.bed import baseline_bed
from bench.baseline.documents import AS_WRITTEN, PROXY, read
from bench.baseline.workloads import NAMESPACE
from bench.overload.overload import Load, OverloadBed, overload
from bench.overload.record import Record
from ops.stack.lifecycle import read_settings
from tests.integration.checkout import Checkout

LOAD = Load(grow_seconds=40, settle_seconds=0, full_seconds=0)
"""Two decisions of the HPA and a half; the stack's own scaler has all 20 by then, or nearly."""

BREAKER = read(PROXY)["static_resources"]["clusters"][0]["circuit_breakers"]["thresholds"][0][
    "max_requests"
]

ANSWERED_BY_POD = 'sum by (pod) ({__name__=~"nv_inference_request_(success|failure)"})'
"""Calls that each Triton pod has done with, in time or not."""


@dataclass(frozen=True)
class Seen:
    """One overload of the baseline as written, and the observations of other sources."""

    record: Record
    shown_by_hpa: list[str]
    """The metric's value per replica, at the end of the load."""
    answered_by_pod: list[float]


@pytest.fixture(scope="module")
def seen(served: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    settings = read_settings(served.env)
    with baseline_bed(served.env, settings, AS_WRITTEN) as bed:
        record = overload(bed, LOAD, tmp_path_factory.mktemp("seed"))
        yield Seen(record, _shown_by_hpa(bed), _vector(bed, ANSWERED_BY_POD))
    names = {found.metadata.name for found in bed.client.list(Namespace)}
    assert NAMESPACE not in names


def _shown_by_hpa(bed: OverloadBed) -> list[str]:
    hpa: Any = bed.client.get(HorizontalPodAutoscaler, bed.hpa, namespace=bed.namespace)
    return [metric.external.current.averageValue for metric in hpa.status.currentMetrics]


def _vector(bed: OverloadBed, query: str) -> list[float]:
    answer = httpx2.get(f"{bed.prometheus}/api/v1/query", params={"query": query}, trust_env=False)
    return [float(found["value"][1]) for found in answer.json()["data"]["result"]]


def test_the_scaler_reads_zero_while_the_gateway_is_full(seen: Seen) -> None:
    """The label matches nothing: by the one that Envoy has the load is there. One breaker's worth.

    Not shown: that this is the only fault in the way of growth; the breaker is another.
    """
    assert seen.record.signal.values == ()
    assert seen.shown_by_hpa == ["0"]
    assert max(seen.record.in_flight.values) >= 0.9 * BREAKER


def test_the_fleet_stays_at_its_least(seen: Seen) -> None:
    """Not shown: that it stays there for ever; nothing that the HPA reads would ever change."""
    assert {(step.wanted, step.replicas) for step in seen.record.steps} == {(2, 2)}


def test_one_pod_takes_nearly_all_calls(seen: Seen) -> None:
    """The address that Envoy resolves is the Service's own, and it holds one connection to it.

    Not shown: which pod, or that a second connection could not lead to the other one.
    """
    assert len(seen.answered_by_pod) == 2
    assert max(seen.answered_by_pod) >= 0.95 * sum(seen.answered_by_pod)


def test_no_more_is_answered_in_time_than_one_replica_can(seen: Seen) -> None:
    """Two could answer twice that; and the breaker's 100 calls take one of them the whole deadline.

    How many come too late for it is a matter of milliseconds: from a few to half were in time in
    runs of this. Not shown: a model that works on calls which were given up, which answers none.
    """
    record = seen.record
    at_least = record.goodput_at_least
    assert at_least is not None
    assert at_least <= 1.1 * record.replica_rps


def test_nothing_of_the_client_is_lost(seen: Seen) -> None:
    """The baseline treats calls badly, and as predicted. Not shown: any other client's account."""
    assert seen.record.lost == 0
    assert sum(seen.record.client["outcomes"].values()) == seen.record.client["calls"]
