"""Calls that a gateway admits, and streams of its callers, for fleets of several shapes."""

import math
from typing import Any

import pytest

from config.schema.overrides import with_overrides
from config.sections.inference import InferenceStack
from config.settings import Settings

STACK = "inference[0]"


def stack(**change: Any) -> InferenceStack:
    paths = {f"{STACK}.{key.replace('__', '.')}": value for key, value in change.items()}
    return with_overrides(Settings(), paths).inference[0]


WIDE = {"traffic__parallelism": 16, "traffic__serviceTimeSeconds": 0.05}


@pytest.mark.parametrize(
    ("change", "streams"),
    [
        # Four for each call of the threshold of 16, between two gateways, or on one.
        ({}, 32),
        ({"gateway__replicas": 1}, 64),
        # One of many gateways may get all connections: twice the threshold.
        ({"gateway__replicas": 8}, 8),
        ({"gateway__replicas": 8, **WIDE}, 32),
        ({"gateway__replicas": 1, **WIDE}, 64),
        ({"gateway__replicas": 1, **WIDE, "traffic__parallelism": 64}, 256),
        # Eight tenths of a second of work, of a deadline of two.
        ({"gateway__replicas": 1, "traffic__serviceTimeSeconds": 0.1}, 12),
        ({"gateway__inFlight": {"kind": "fleet", "streamsPerPod": 5}}, 5),
    ],
)
def test_a_pod_is_sent_four_calls_for_each_that_it_works_on(change: dict[str, Any], streams: int):
    assert stack(**change).streams_per_pod == streams


@pytest.mark.parametrize("connections", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("change", [{}, WIDE, {"gateway__replicas": 1}])
def test_connections_carry_a_little_more_than_a_gateway_admits(
    change: dict[str, Any], connections: int
):
    made = stack(traffic__clientConnections=connections, **change)
    landed = max(1, connections // made.gateway.replicas)
    admitted = made.admitted(made.autoscaler.max_replicas) / made.gateway.replicas
    assert landed * made.max_concurrent_streams >= 1.1 * admitted
    alone = 1.25 * made.autoscaler.max_replicas * made.traffic.parallelism
    fair = 1.1 * admitted / landed
    assert made.max_concurrent_streams == max(128, math.ceil(max(alone, fair)))


def test_a_static_breaker_trips_before_callers_wait():
    made = stack(gateway__inFlight={"kind": "static", "maxRequests": 1000})
    assert made.max_concurrent_streams == 2048
