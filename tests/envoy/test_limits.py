"""A full gateway: limits per replica and in all, and the form of a refusal.

Not proved here: that the limits' numbers suit a model; `config/checks` and the benchmarks do that.
"""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.backlog import full_backlog
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import Batch, GrpcClient
from tests.envoy.harness.waiting import wait_until

STREAMS = 4
PENDING = 3
STATIC = {"inFlight": {"kind": "static", "maxRequests": 10, "maxPendingRequests": 5}}


def warm(bed: Bed, client: GrpcClient) -> None:
    """Connect to every replica: on a cold one calls wait for the connection, as pending."""
    while bed.gateway.cluster_stat("upstream_cx_active") < len(bed.dns.hosts):
        client.calls(8, window=2)


def held(bed: Bed) -> tuple[int, int]:
    """(calls in flight upstream, calls that wait for a stream)."""
    gateway = bed.gateway
    return (
        gateway.cluster_stat("upstream_rq_active"),
        gateway.cluster_stat("upstream_rq_pending_active"),
    )


def overflows(bed: Bed) -> tuple[int, int]:
    """(refusals of a full queue, refusals of the breaker on active calls)."""
    gateway = bed.gateway
    return (
        gateway.cluster_stat("upstream_rq_pending_overflow"),
        gateway.cluster_stat("upstream_rq_active_overflow"),
    )


def burst(bed: Bed, client: GrpcClient, count: int) -> Batch:
    """Calls to replicas that answer nothing, once each is refused, waits, or is with a replica."""
    bed.fleet.hang()
    batch = client.start(count)
    wait_until(
        "each call has its place",
        lambda: sum(held(bed)) + len(batch.outcomes) == count and bed.fleet.active == held(bed)[0],
    )
    return batch


def release(bed: Bed, batch: Batch) -> None:
    """Let the replicas answer: what was admitted is OK, what was refused says so, nothing else."""
    bed.fleet.resume()
    refused = [outcome for outcome in batch.wait() if outcome.code.name != "OK"]
    assert all(o.code.name == "UNAVAILABLE" and o.overloaded for o in refused)


def test_the_fleet_limit_follows_the_fleet(bed):
    with (
        bed(replicas=3, listed=2, streams_per_pod=STREAMS, max_pending=PENDING) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        for ready in (2, 3):
            it.dns.hosts = it.fleet.hosts[:ready]
            wait_until("replicas are healthy", lambda n=ready: it.gateway.healthy_hosts() == n)
            warm(it, client)
            before = overflows(it)
            batch = burst(it, client, 30)
            assert held(it) == (ready * STREAMS, PENDING)
            assert {r.active for r in it.fleet.replicas[:ready]} == {STREAMS}
            refused = 30 - ready * STREAMS - PENDING
            # The queue's counter, not the breaker's: the scaler's query adds both.
            assert overflows(it) == (before[0] + refused, 0)
            release(it, batch)


def without_one_connection(config):
    del parts.breakers(config)["per_host_thresholds"]


def without_stream_limit(config):
    del parts.http2_up(config)["max_concurrent_streams"]


def without_queue_limit(config):
    del parts.breakers(config)["thresholds"][0]["max_pending_requests"]


@pytest.mark.parametrize(
    "edit", [without_one_connection, without_stream_limit, without_queue_limit]
)
def test_the_fleet_limit_needs_each_of_its_settings(bed, edit):
    with (
        bed(streams_per_pod=STREAMS, max_pending=PENDING, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        warm(it, client)
        batch = burst(it, client, 30)
        assert held(it)[0] > 2 * STREAMS or held(it)[1] > PENDING
        release(it, batch)


def test_a_static_breaker_holds_whatever_the_fleets_size(bed):
    for size in (1, 3):
        with bed(replicas=size, gateway=STATIC) as it, GrpcClient(it.gateway.port) as client:
            warm(it, client)
            before = overflows(it)
            batch = burst(it, client, 30)
            assert held(it) == (10, 0)
            assert overflows(it) == (before[0], before[1] + 20)
            release(it, batch)


def without_breaker(config):
    del parts.breakers(config)["thresholds"][0]["max_requests"]


def test_without_its_number_the_static_breaker_admits_all(bed):
    with bed(gateway=STATIC, edit=without_breaker) as it, GrpcClient(it.gateway.port) as client:
        warm(it, client)
        batch = burst(it, client, 30)
        assert held(it)[0] > 10
        release(it, batch)


def without_full_scan(config):
    policy = parts.cluster(config)["load_balancing_policy"]["policies"][0]
    del policy["typed_extension_config"]["typed_config"]["selection_method"]


@pytest.mark.parametrize(("edit", "all_fit"), [(unchanged, True), (without_full_scan, False)])
def test_a_free_stream_is_found_wherever_it_is(bed, edit, all_fit):
    """As many calls in flight as the fleet has streams: none may be refused."""
    with (
        bed(replicas=4, streams_per_pod=STREAMS, max_pending=1, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        warm(it, client)
        before = overflows(it)
        client.calls(600, window=4 * STREAMS)
        assert (overflows(it) == before) is all_fit


def without_pending_in_load(config):
    del parts.runtime(config)["envoy.reloadable_features.least_request_lb_count_pending_requests"]


def without_health_checks(config):
    del parts.cluster(config)["health_checks"]


@pytest.mark.parametrize(("edit", "shared"), [(unchanged, True), (without_pending_in_load, False)])
def test_a_replica_that_is_slow_to_connect_does_not_draw_every_call(bed, edit, shared):
    def slow_to_connect(config):
        edit(config)
        without_health_checks(config)
        parts.cluster(config)["connect_timeout"] = "10s"

    with (
        bed(listed=1, max_pending=30, edit=slow_to_connect) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        warm(it, client)
        it.fleet.stop(it.fleet.replicas[1])
        with full_backlog(it.fleet.hosts[1], it.fleet.port):
            it.dns.hosts = it.fleet.hosts
            wait_until("both are known", lambda: it.gateway.healthy_hosts() == 2)
            it.fleet.hang()
            batch = client.start(20)
            wait_until("each call has its place", lambda: sum(held(it)) == 20)
            assert (held(it) == (10, 10)) is shared
            batch.cancel()
            batch.wait()


@pytest.mark.parametrize("streams", [7, 1500])
def test_one_connection_carries_the_streams_that_the_stack_states(bed, streams):
    with (
        bed(replicas=1, streams_per_pod=2000, gateway={"maxConcurrentStreams": streams}) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        warm(it, client)
        it.fleet.hang()
        batch = client.start(streams + 5)
        wait_until(
            "the connection is full",
            lambda: (
                it.gateway.downstream_stat("downstream_rq_active") == streams
                and it.fleet.active == streams
            ),
        )
        it.fleet.resume()
        assert {o.code.name for o in batch.wait()} == {"OK"}
