"""A check lets its bound itself pass, and the next value not."""

from typing import Any

import pytest

from config.checks import CHECKS, run
from config.schema.overrides import with_overrides
from config.settings import Settings
from tests.unit.check_cases import EKS, IN_FLIGHT

STACK = "inference[0]"
SPOT = {"gpuNodes.capacityType": "SPOT"}
FLEET_LIMIT = {**IN_FLIGHT, f"{STACK}.autoscaler.threshold": 20}

BOUNDS: list[tuple[str, dict[str, Any], str, Any, Any]] = [
    # 22 streams a pod are 1.1 x 20 exactly, which the HPA's tolerance still ignores.
    ("reach", FLEET_LIMIT, f"{STACK}.gateway.inFlight.streamsPerPod", 23, 22),
    # 2 x (64 + 36) calls on 2 replicas take 2 s exactly.
    ("survival", {}, f"{STACK}.gateway.inFlight.maxPendingRequests", 36, 37),
    ("nodes", {}, "gpuNodes.maxSize", 6, 5),
    ("nodes", {}, f"{STACK}.autoscaler.maxReplicas", 23, 24),
    ("coldStart", {}, f"{STACK}.autoscaler.minReplicas", 4, 5),
    ("nodeBounds", {}, "gpuNodes.minSize", 6, 7),
    ("preStop", {}, f"{STACK}.triton.preStopSeconds", 2, 1),
    ("grace", {}, f"{STACK}.triton.terminationGraceSeconds", 68, 67),
    ("spot", SPOT, f"{STACK}.traffic.maxStreamSeconds", 107, 108),
    ("eksUpdate", EKS, f"{STACK}.traffic.maxStreamSeconds", 885, 886),
    # Four checks, 14 s apart, each given up after 1 s.
    ("deadReplica", {}, f"{STACK}.gateway.healthChecks.intervalSeconds", 14, 14.1),
    ("startupBudget", {}, f"{STACK}.triton.startupBudgetSeconds", 60, 59),
    ("scrapeInterval", {}, "prometheus.scrapeIntervalSeconds", 15, 16),
    ("rateWindow", {}, f"{STACK}.autoscaler.signal.rateWindowSeconds", 15, 14),
    ("streamLength", {}, f"{STACK}.traffic.maxStreamSeconds", 2, 1.9),
    ("streamIdle", {}, f"{STACK}.traffic.streamIdleSeconds", 2, 1.9),
    # 64 MiB + 688 streams x 64 KiB x 2 = 150 MiB, three quarters of 200.
    ("gatewayMemory", {}, f"{STACK}.gateway.memoryMib", 200, 199),
    ("tritonQueue", {}, f"{STACK}.triton.queueSize", 63, 62),
    ("privilegedPorts", {}, f"{STACK}.gateway.opsPort", 1024, 1023),
    # 8192 MiB without 128 MiB for the server and 65 messages of 4 MiB.
    ("sharedMemory", {}, f"{STACK}.triton.shmMib", 7804, 7805),
    # 1 MiB, 64 calls x 4 MiB and 1 answer of 4 MiB.
    ("largestCalls", {}, f"{STACK}.triton.shmMib", 261, 260),
    ("nameLength", {}, f"{STACK}.namePrefix", "a" * 30 + "-", "a" * 31 + "-"),
    ("localNodes", {}, "platform.cpuNodeCpu", 2, 1),
    # Two of them on one node, one and Prometheus on the other.
    ("localNodes", {}, f"{STACK}.gateway.cpu", 4, 4.1),
]


def fired(check: str, config: Settings) -> bool:
    return check in {problem.check for problem in run(config)}


@pytest.mark.parametrize(
    ("check", "base", "key", "good", "bad"), BOUNDS, ids=[f"{row[0]}-{row[2]}" for row in BOUNDS]
)
def test_the_bound_passes_and_the_next_value_does_not(
    check: str, base: dict[str, Any], key: str, good: object, bad: object
):
    assert not fired(check, with_overrides(Settings(), {**base, key: good}))
    assert fired(check, with_overrides(Settings(), {**base, key: bad}))


def test_bounds_are_of_checks_that_exist():
    assert {row[0] for row in BOUNDS} <= {check.name for check in CHECKS}
