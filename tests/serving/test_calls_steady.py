"""Gateway, Prometheus, autoscaler and client agree about one steady load.

The fleet stays at one size, by parameter: what a changing one does is shown elsewhere. Client,
Envoy, Triton and Prometheus share the machine, so the loads are such that the client takes little
of it; what the fleet can do on machines of its own is not shown here.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import grpc
import pytest

from components.autoscaler.queries import in_flight, per_second, refusals, scaler_query
from components.gateway.envoy.stats import ACTIVE_OVERFLOW, PENDING_OVERFLOW, cluster_selector
from eventflow.outcomes import OVERLOADED_HEADER, Outcome
from tests.envoy.harness.backend import INFER
from tests.integration.checkout import Checkout
from tests.serving.accounts import accounted
from tests.serving.replicas import replicas
from tests.serving.steady import Held, LoadRun, agreement
from tests.serving.test_calls import request

SCRAPES = 3
"""Scrapes in a row that must agree with the client."""

CALLS_PER_POD = 1_000
MOST_PER_MEAN = 1.1
"""Calls of the most loaded pod, to those of the mean one."""

HPA_READINGS = 15
"""Readings of the HPA in a row that must agree with the client, one a second."""

SCRAPE_SECONDS = 2
"""Less than dev's: a load need not be long for the rate's window and some scrapes."""

SPREAD_SECONDS = 25.0
"""Time for enough calls per pod."""

STEADY_SECONDS = 45.0
"""Time for a scrape, two looks of the HPA's, and its readings."""

OVERLOAD_SECONDS = 30.0
"""Time for a rate's window and several times three scrapes."""

STATIC = {"kind": "static", "maxRequests": 60}
"""A limit about as high as the one that follows two pods, and counted otherwise by Envoy."""

OFFERED_PER_CAPACITY = 4
"""Calls offered for each that the fleet can answer: three in four are refused, and the client
still takes a fraction of a core."""

ECHO_SECONDS = 0.05
REFUSAL_OVER_ECHO_MS = 50.0
ADMITTED_SHARE = 0.85
"""Of what the ready pods can answer by what is stated of them."""

SATURATED, SATURATED_SECONDS = 400, 45.0
"""Calls in flight, three times what the gateways admit to two replicas, and for how long: the
replicas' watchdog gives up after a few seconds, kubelet's liveness probe after 30."""

IDLE_CLIENT_CORES = 0.5
BURST = 20_000


@pytest.fixture(scope="module")
def held(served: Checkout) -> Iterator[Held]:
    held = Held(served, scrapeIntervalSeconds=SCRAPE_SECONDS)
    try:
        yield held
    finally:
        held.release()


@pytest.fixture(scope="module")
def steady(held: Held, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadRun]:
    """A closed loop just below the limit; once for each size."""

    @cache
    def run(replicas: int, seconds: float) -> LoadRun:
        fleet = held.at(replicas)
        assert fleet.stack.streams_per_pod
        window = replicas * (fleet.stack.streams_per_pod - 2)
        folder = tmp_path_factory.mktemp("steady")
        with fleet.counters() as counters:
            return LoadRun.run(fleet, folder, window=window, seconds=seconds, arguments=counters)

    return run


@pytest.fixture(scope="module")
def overload(held: Held, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadRun]:
    """An open loop far beyond what two pods answer; once for each kind of limit."""

    @cache
    def run(limit: str) -> LoadRun:
        fleet = held.at(2, **({"inFlight": STATIC} if limit == "static" else {}))
        rate = OFFERED_PER_CAPACITY * fleet.replicas * fleet.stack.traffic.replica_rps
        arguments = ["--echo", str(ECHO_SECONDS)]
        folder = tmp_path_factory.mktemp("overload")
        return LoadRun.run(fleet, folder, rate=rate, seconds=OVERLOAD_SECONDS, arguments=arguments)

    return run


def _watchdogs(load: LoadRun) -> int:
    """Inferences of the replicas' own watchdogs at most, which Triton counts as well.

    The pages are read before the load and after it, a little apart.
    """
    each = load.report["seconds"] / load.fleet.stack.watchdog_interval_seconds
    return load.fleet.replicas * (int(each) + 5)


def _spread(load: LoadRun) -> None:
    """Claim that Triton's own counters show about as many calls on each pod.

    The first calls may be refused: a gateway opens its connections to the pods when it has calls
    for them, and until then lets few wait.
    """
    report, pods = load.report, load.report["calls_per_pod"]
    assert report["connections_opened"] == 1
    assert set(accounted(report)) <= {Outcome.OK, Outcome.BREAKER}
    assert load.per_second(Outcome.BREAKER, 1, report["seconds"]) == 0
    assert 0 <= sum(pods.values()) - report["outcomes"][Outcome.OK] <= _watchdogs(load)
    assert len(pods) == load.fleet.replicas
    assert min(pods.values()) >= CALLS_PER_POD, pods
    assert max(pods.values()) / (sum(pods.values()) / len(pods)) <= MOST_PER_MEAN, pods


# The tests are in this order because each other size, and each other limit, costs an `up`.


def test_one_connections_calls_spread_evenly_over_four_pods(
    steady: Callable[..., LoadRun],
) -> None:
    _spread(steady(4, SPREAD_SECONDS))


@pytest.mark.parametrize(
    ("limit", "silent"), [("static", PENDING_OVERFLOW), ("fleet", ACTIVE_OVERFLOW)]
)
def test_refusals_per_second_are_to_prometheus_what_they_are_to_the_client(
    overload: Callable[..., LoadRun], limit: str, silent: str
) -> None:
    """The scaler's other terms: each kind of limit shows in one of Envoy's two counters alone.

    So the sum of both fails where either is left out.
    """
    load = overload(limit)
    cluster = cluster_selector(load.fleet.stack.envoy_cluster)
    window = load.fleet.rate_window_seconds
    longest, pairs = agreement(load.seen(refusals(cluster, window), window), load.refused)
    assert longest >= SCRAPES, pairs
    other = per_second(silent + cluster, window)
    assert not any(value for _, value in load.seen(other, window))


def test_the_scalers_whole_signal_is_what_the_client_would_have_in_flight(
    overload: Callable[..., LoadRun],
) -> None:
    """Under overload: what is in flight, and what would be had it not been refused.

    The calls that wait at the gateway for a stream are the client's own, and in no term: the full
    waiting room is taken off.
    """
    load = overload("fleet")
    stack, window = load.fleet.stack, load.fleet.rate_window_seconds

    query = scaler_query(stack, load.fleet.settings.prometheus)

    def own(at: float) -> float:
        sent = load.in_flight(at) - stack.max_pending_requests
        return sent + stack.refused_seconds * load.refused(at)

    longest, pairs = agreement(load.seen(query, window), own)
    assert longest >= SCRAPES, pairs


def test_a_refusal_takes_as_long_as_an_echo_while_admitted_calls_are_answered(
    overload: Callable[..., LoadRun],
) -> None:
    """The echo is an HTTP/2 PING on the same connection, through the same client and gateway.

    Not shown: the time that a client takes for itself, which is in both.
    """
    load = overload("fleet")
    report, stack = load.report, load.fleet.stack
    answered = load.per_second(Outcome.OK, 1, OVERLOAD_SECONDS - 1)
    assert answered >= ADMITTED_SHARE * load.fleet.replicas * stack.traffic.replica_rps
    assert set(accounted(report)) == {Outcome.OK, Outcome.BREAKER}
    assert report["echo_ms"]["count"] > 0
    assert report["refusal_ms"]["p99"] <= report["echo_ms"]["p99"] + REFUSAL_OVER_ECHO_MS
    # A client that had no time left would make echoes as late as refusals.
    assert report["cpu_cores"] < IDLE_CLIENT_CORES


def test_one_connections_calls_spread_evenly_over_two_pods(steady: Callable[..., LoadRun]) -> None:
    _spread(steady(2, STEADY_SECONDS))


def test_calls_in_flight_are_to_prometheus_what_they_are_to_the_client(
    steady: Callable[..., LoadRun],
) -> None:
    """The scaler's first term. Fails where the gauge counts anything else, such as connections."""
    load = steady(2, STEADY_SECONDS)
    seen = load.seen(
        in_flight(cluster_selector(load.fleet.stack.envoy_cluster)), load.fleet.scrape_seconds
    )
    longest, pairs = agreement(seen, load.in_flight)
    assert longest >= SCRAPES, pairs


def test_the_hpa_shows_what_the_client_has_in_flight(steady: Callable[..., LoadRun]) -> None:
    """While nothing is refused the signal is nothing else."""
    load = steady(2, STEADY_SECONDS)
    longest, pairs = agreement(load.hpa, load.in_flight)
    assert longest >= HPA_READINGS, pairs


def test_a_saturated_replica_neither_restarts_nor_stops_being_ready(
    held: Held, served: Checkout, tmp_path: Path
) -> None:
    """400 calls in flight at two replicas, their queues full all the time."""
    fleet = held.at(2)
    before = replicas(served)
    report = LoadRun.run(fleet, tmp_path, window=SATURATED, seconds=SATURATED_SECONDS).report
    answered = report["outcomes"][Outcome.OK] / report["seconds"]
    assert answered >= ADMITTED_SHARE * fleet.replicas * fleet.stack.traffic.replica_rps
    assert replicas(served) == before
    assert all(replica.is_ready for replica in before)


def test_a_refusal_is_unavailable_and_says_so_in_its_trailer(held: Held) -> None:
    """To gRPC's own client, which has 300 calls at once on one connection.

    Admitted are at least those that may wait for the gateway's connections to the pods.
    """
    fleet = held.at(2)
    with grpc.insecure_channel(fleet.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        infer = channel.unary_unary(INFER)
        calls = [infer.future(request("x"), timeout=10) for _ in range(300)]
        refused = [call for call in calls if call.code() is not grpc.StatusCode.OK]
        assert len(calls) - len(refused) >= fleet.stack.max_pending_requests
        assert refused
        for call in refused:
            assert call.code() is grpc.StatusCode.UNAVAILABLE
            assert (OVERLOADED_HEADER, "true") in call.trailing_metadata()


def test_a_burst_is_accounted_for_by_the_client_by_triton_and_in_a_picture(
    held: Held, tmp_path: Path
) -> None:
    """The command line against real servers: the sum, calls per pod, and Prometheus's lines.

    A note would say that a page or a query had no answer. Not shown: what the picture looks like.
    """
    fleet, picture = held.at(2), tmp_path / "burst.png"
    with fleet.counters() as counters:
        arguments = [*counters, "--prometheus", fleet.prometheus, "--picture", str(picture)]
        load = LoadRun.run(fleet, tmp_path, calls=BURST, arguments=arguments)
    report = load.report
    ended = accounted(report)
    assert report["calls"] == BURST
    assert report["connections_killed"] == 0
    assert report["notes"] == []
    # Triton may finish what the client has given up.
    late = ended.get(Outcome.DEADLINE, 0)
    most = ended[Outcome.OK] + late + _watchdogs(load)
    assert ended[Outcome.OK] <= sum(report["calls_per_pod"].values()) <= most
    assert len(report["calls_per_pod"]) == fleet.replicas
    assert picture.read_bytes().startswith(b"\x89PNG")
