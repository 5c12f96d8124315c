"""The capacity summary agrees with an independent simulation, and with what was measured.

The simulation is of ideal replicas behind an ideal gateway; that the real ones keep up with it is
shown where they run.
"""

import heapq
from collections import deque
from pathlib import Path

import pytest

from config.schema.overrides import with_overrides
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.sizing.capacity import burst_ok, capacity, summary, worker_calls_per_second

STACK = "inference[0]"
STATIC = {"kind": "static", "maxRequests": 100}


def answered(stack: InferenceStack, replicas: int, calls: int, issue_seconds: float) -> int:
    """Let calls arrive evenly at one gateway, which admits or refuses each; count those in time."""
    traffic = stack.traffic
    slots = [0.0] * (replicas * traffic.parallelism)
    in_flight = stack.active_limit(replicas)
    admits = stack.admitted(replicas) // stack.gateway.replicas
    ends: deque[float] = deque()
    held: list[float] = []
    in_time = 0
    for number in range(calls):
        now = number * issue_seconds / calls
        while held and held[0] <= now:
            heapq.heappop(held)
        if len(held) >= admits:
            continue
        # In order of arrival: a call waits for a stream, then for a slot of a replica.
        stream_free = ends[-in_flight] if len(ends) >= in_flight else 0.0
        start = max(now, stream_free, heapq.heappop(slots))
        end = start + traffic.service_time_seconds
        heapq.heappush(slots, end)
        heapq.heappush(held, end)
        ends.append(end)
        in_time += end <= now + traffic.deadline_seconds + 1e-9
    return in_time


@pytest.mark.parametrize("replicas", [2, 7, 20])
@pytest.mark.parametrize("issue_seconds", [0.8, 2.0, 5.0])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gateway.replicas": 1},
        {"gateway.inFlight": STATIC, "gateway.replicas": 1},
        {"traffic.serviceTimeSeconds": 0.05, "traffic.parallelism": 16},
        {"gateway.inFlight": {"kind": "fleet", "streamsPerPod": 1}, "traffic.parallelism": 4},
    ],
    ids=["default", "one-gateway", "static", "sixteen-slots", "idle-slots"],
)
def test_a_burst_is_predicted_within_ten_percent(
    change: dict[str, object], issue_seconds: float, replicas: int
):
    paths = {f"{STACK}.{path}": value for path, value in change.items()}
    stack = with_overrides(Settings(), paths).inference[0]
    predicted = burst_ok(stack, replicas, calls=50_000, issue_seconds=issue_seconds)
    assert predicted == pytest.approx(answered(stack, replicas, 50_000, issue_seconds), rel=0.1)


@pytest.mark.parametrize(
    ("kib", "calls_per_second"),
    [(0.01, 25_000), (1, 25_000), (600, 25_000 / (1 + 25_000 * 1198 / (512 * 1024)))],
)
def test_large_messages_take_a_gateways_worker_longer(kib: float, calls_per_second: float):
    sizes = {f"{STACK}.traffic.{name}Kib": kib for name in ("request", "response")}
    stack = with_overrides(Settings(), sizes).inference[0]
    assert worker_calls_per_second(stack) == pytest.approx(calls_per_second)
    issue_seconds = 50_000 / calls_per_second
    assert burst_ok(stack, 20) == burst_ok(stack, 20, issue_seconds=issue_seconds)


def test_a_gateway_answers_fewer_calls_than_it_refuses():
    """400 calls of 1 ms at once would be 400,000/s; two gateways of one worker each carry them."""
    traffic = {"serviceTimeSeconds": 0.001, "parallelism": 20}
    change = {f"{STACK}.traffic.{name}": value for name, value in traffic.items()}
    settings = with_overrides(Settings(), change)
    assert capacity(settings, settings.inference[0]).most.calls_per_second == 20_000


def test_the_summary_says_the_pace_of_large_messages():
    settings = with_overrides(Settings(), {f"{STACK}.traffic.requestKib": 600})
    assert "on one connection at 846/s" in summary(settings, settings.inference[0])


def test_a_burst_never_gets_more_answers_than_it_has_calls():
    assert burst_ok(Settings().inference[0], 20, calls=10, issue_seconds=1) == 10


def test_the_defaults_carry_what_was_measured():
    """Measured with 20 ms a call: 100 calls/s with 2 replicas, 1,000 with 20."""
    config = Settings()
    can = capacity(config, config.inference[0])
    assert (can.least.replicas, can.most.replicas) == (2, 20)
    assert (can.least.calls_per_second, can.most.calls_per_second) == (100, 1000)
    assert (can.least.in_flight_per_connection, can.most.in_flight_per_connection) == (64, 640)
    assert (can.least.in_flight, can.most.in_flight) == (128, 1280)
    assert (can.gpus, can.nodes, can.nodes_in_rollout) == (20, 5, 6)
    assert can.growth == (2, 20)
    assert (can.least.burst_ok, can.most.burst_ok) == (280, 2656)


def test_time_slices_let_a_node_hold_more():
    config = with_overrides(Settings(), {"gpuSharing": {"kind": "timeSlicing", "slices": 4}})
    assert capacity(config, config.inference[0]).nodes == 2


def test_replicas_without_gpus_take_no_gpu_node():
    config = with_overrides(Settings(), {f"{STACK}.triton.gpus": 0})
    can = capacity(config, config.inference[0])
    assert (can.gpus, can.nodes) == (0, 0)


def test_a_static_limit_leaves_replicas_idle():
    config = with_overrides(
        Settings(),
        {f"{STACK}.gateway.inFlight": {"kind": "static", "maxRequests": 10}},
    )
    assert capacity(config, config.inference[0]).most.calls_per_second == 1000
    alone = with_overrides(config, {f"{STACK}.gateway.replicas": 1})
    assert capacity(alone, alone.inference[0]).most.calls_per_second == 500


def test_the_summary_is_recorded(golden):
    config = Settings()
    golden(str(Path("config") / "capacity.txt"), summary(config, config.inference[0]) + "\n")
