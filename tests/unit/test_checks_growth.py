"""Reach and survival hold for what the HPA's own arithmetic makes of a configuration."""

import math

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.checks import CHECKS, run
from config.schema.overrides import with_overrides
from config.sections.autoscaler import Autoscaler, ScaleUp
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.sizing.hpa import shown_in_flight, simulate
from config.sizing.scaling import growth

STACK = "inference[0]"


def stack_with(change: dict[str, object]) -> InferenceStack:
    return with_overrides(Settings(), change).inference[0]


def findings(check: str, config: Settings) -> list[str]:
    (chosen,) = [known for known in CHECKS if known.name == check]
    return [problem.reason for problem in chosen.run(config)]


def asked(signal: float, threshold: float, replicas: int) -> int:
    """Replicas that kube-controller-manager wants, written from its source a second time."""
    ratio = signal / (threshold * replicas)
    if 0.9 <= ratio <= 1.1:
        return replicas
    return math.ceil(signal / threshold)


@pytest.mark.parametrize("gateways", [1, 2, 3])
@pytest.mark.parametrize("connections", [1, 2, 7])
def test_no_static_limit_saves_the_baselines_numbers(gateways: int, connections: int):
    reached = min(connections, gateways)
    bounds = (
        f"at least {334 // reached + 1} to reach 20 and at most {200 // gateways}"
        f"{f' on each of {gateways} gateways' if gateways > 1 else ''} to survive at 2"
    )
    for number in [1, *range(50, 600, 50), 201, 334, 335, 1000, 100_000]:
        config = with_overrides(
            Settings(),
            {
                f"{STACK}.autoscaler.signal": {"kind": "inFlight"},
                f"{STACK}.gateway.inFlight": {"kind": "static", "maxRequests": number},
                f"{STACK}.gateway.replicas": gateways,
                f"{STACK}.traffic.clientConnections": connections,
            },
        )
        refused = findings("reach", config) + findings("survival", config)
        assert refused, number
        assert all(bounds in message for message in refused)


def test_the_baseline_stops_at_seven():
    stack = stack_with(
        {
            f"{STACK}.autoscaler.signal": {"kind": "inFlight"},
            f"{STACK}.gateway.inFlight": {"kind": "static", "maxRequests": 100},
        }
    )
    assert growth(stack) == (2, 7)


def test_a_limit_that_would_do_at_twenty_may_hold_the_fleet_at_two():
    """17 streams a pod are 340 at 20, more than the 334.4 needed there, and 34 at 2."""
    config = with_overrides(
        Settings(),
        {
            f"{STACK}.autoscaler.signal": {"kind": "inFlight"},
            f"{STACK}.gateway.inFlight": {"kind": "fleet", "streamsPerPod": 17},
        },
    )
    assert growth(config.inference[0]) == (2,)
    (message,) = findings("reach", config)
    assert "with 2 replicas ready" in message
    assert "20 is never requested" in message


def test_refusals_lift_the_fleet_where_calls_in_flight_do_not():
    stack = stack_with({f"{STACK}.gateway.inFlight": {"kind": "fleet", "streamsPerPod": 17}})
    assert growth(stack) == (2, 20)


@pytest.mark.parametrize(
    ("per_second", "refused_seconds", "path"),
    [
        (2000, None, (2, 20)),
        (500, None, (2, 12)),
        (150, None, (2, 5)),
        # The time that a replica works on a call, which is not the time that it is in flight.
        (2000, 0.02, (2, 7, 17, 20)),
        (500, 0.02, (2, 5, 11)),
    ],
)
def test_an_overload_at_a_fixed_rate_asks_at_once_for_who_can_answer_it(
    per_second: int, refused_seconds: float | None, path: tuple[int, ...]
):
    """Until nothing is refused: a fleet that is full holds twice what the threshold says."""
    stack = stack_with({f"{STACK}.autoscaler.signal.refusedSeconds": refused_seconds})

    def signal(replicas: int) -> float:
        refused = max(0.0, per_second - replicas * stack.traffic.replica_rps)
        full = shown_in_flight(stack, replicas) if refused else 0
        return full + stack.refused_seconds * refused

    assert simulate(stack.autoscaler, signal) == path


@pytest.mark.parametrize(
    ("up", "path"),
    [
        (ScaleUp(), (2, 20)),
        (ScaleUp(pods=6), (2, 8, 14, 20)),
        (ScaleUp(pods=9, period_seconds=30), (2, 11, 11, 20)),
        (ScaleUp(stabilization_seconds=30), (2, 2, 20)),
        (ScaleUp(stabilization_seconds=31), (2, 2, 2, 20)),
    ],
)
def test_scale_up_policy_and_stabilisation_delay_the_fleet(up: ScaleUp, path: tuple[int, ...]):
    assert simulate(Autoscaler(scale_up=up), lambda _: math.inf) == path


def test_connections_are_counted_on_the_gateways_that_they_land_on():
    one = {f"{STACK}.traffic.clientConnections": 1}
    three = {f"{STACK}.traffic.clientConnections": 3}
    streams = {f"{STACK}.gateway.maxConcurrentStreams": 50}
    assert shown_in_flight(stack_with(one), 2) == 64
    assert shown_in_flight(stack_with(three), 2) == 128
    assert shown_in_flight(stack_with({**one, **streams}), 2) == 50
    assert shown_in_flight(stack_with({**three, **streams}), 2) == 64 + 50
    assert shown_in_flight(stack_with(three), 2, gateways=1) == 64


LIMITS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("static"), "maxRequests": st.integers(1, 2000)}),
    st.fixed_dictionaries(
        {"kind": st.just("fleet"), "shareOfDeadline": st.floats(0.05, 1.0)},
        optional={
            "streamsPerPod": st.integers(1, 200),
            "maxPendingRequests": st.integers(1, 300),
        },
    ),
)
CHANGES = st.fixed_dictionaries(
    {
        f"{STACK}.gateway.inFlight": LIMITS,
        f"{STACK}.gateway.replicas": st.integers(1, 6),
        f"{STACK}.gateway.maxConcurrentStreams": st.none() | st.integers(1, 3000),
        f"{STACK}.traffic.clientConnections": st.integers(1, 12),
        f"{STACK}.traffic.deadlineSeconds": st.floats(0.05, 20),
        f"{STACK}.traffic.serviceTimeSeconds": st.floats(0.001, 5),
        f"{STACK}.traffic.parallelism": st.integers(1, 64),
        f"{STACK}.autoscaler.threshold": st.floats(0.5, 200),
        f"{STACK}.autoscaler.minReplicas": st.integers(1, 25),
        f"{STACK}.autoscaler.maxReplicas": st.integers(1, 25),
        f"{STACK}.autoscaler.signal": st.sampled_from([{"kind": "demand"}, {"kind": "inFlight"}]),
        f"{STACK}.triton.gpus": st.integers(0, 5),
        f"{STACK}.triton.memoryMib": st.integers(512, 250_000),
        f"{STACK}.traffic.maxStreamSeconds": st.floats(0.5, 2000),
        "gpuNodes.maxSize": st.integers(1, 40),
        "gpuNodes.minSize": st.integers(0, 40),
        "gpuNodes.capacityType": st.sampled_from(["ON_DEMAND", "SPOT"]),
        "gpuSharing": st.integers(1, 4).map(
            lambda n: {"kind": "timeSlicing", "slices": n} if n > 1 else {"kind": "none"}
        ),
    }
)


@given(change=CHANGES)
def test_a_fleet_grows_from_every_size_exactly_where_reach_says_so(change: dict[str, object]):
    """Under a load that fills every limit; the test ignores how fast pods get ready."""
    change = {**change, f"{STACK}.autoscaler.signal": {"kind": "inFlight"}}
    config = with_overrides(Settings(), change)
    stack, scaler = config.inference[0], config.inference[0].autoscaler
    sizes = range(scaler.min_replicas, scaler.max_replicas)
    grows = all(
        asked(shown_in_flight(stack, size), scaler.threshold, size) > size for size in sizes
    )
    assert grows == (not findings("reach", config))
    if grows and sizes:
        assert growth(stack)[-1] == scaler.max_replicas


# Four of ten pass both checks; hypothesis gives up where the first sixty happen to be worse.
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(change=CHANGES)
def test_what_survival_lets_pass_is_answered_in_time(change: dict[str, object]):
    """Slots of a replica work off an even share of all that is admitted, one call after another."""
    config = with_overrides(Settings(), change)
    stack, traffic = config.inference[0], config.inference[0].traffic
    assume(not findings("replicaBounds", config) and not findings("survival", config))
    for replicas in (stack.autoscaler.min_replicas, stack.autoscaler.max_replicas):
        calls = math.ceil(stack.admitted(replicas) / replicas)
        last = math.ceil(calls / traffic.parallelism) * traffic.service_time_seconds
        # An uneven share and a half-full round of slots cost one call's time each.
        assert last <= traffic.deadline_seconds + 2 * traffic.service_time_seconds


@given(change=CHANGES)
def test_every_change_that_is_offered_is_enough(change: dict[str, object]):
    config = with_overrides(Settings(), change)
    for problem in run(config):
        if problem.change:
            try:
                after = with_overrides(config, problem.change)
            except ValidationError as error:
                pytest.fail(f"{problem}: {error}")
            assert not findings(problem.check, after), str(problem)
