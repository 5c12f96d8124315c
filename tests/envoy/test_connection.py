"""The callers' one connection: what must not end it, and what must not stop it."""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import burst, malformed_call, reads_nothing, reset_each, silent
from tests.envoy.harness.waiting import wait_until

MANY = 1500


def without_reset_bucket(config):
    del parts.http2_down(config)["stream_reset_burst"]


def without_premature_reset_limit(config):
    del parts.runtime(config)["overload.premature_reset_total_stream_count"]
    # Envoy's own second is over before a busy machine has issued all the calls.
    parts.runtime(config)["overload.premature_reset_min_stream_lifetime_seconds"] = 60


def killed(bed: Bed) -> int:
    """Connections that ended though their caller had not done with them.

    Either side may close first: a caller closes once it has GOAWAY.
    """
    return bed.gateway.downstream_stat("downstream_cx_destroy") + bed.gateway.downstream_stat(
        "downstream_cx_protocol_error"
    )


@pytest.mark.parametrize(
    ("edit", "survives"),
    [
        (unchanged, True),
        (without_reset_bucket, False),
        (without_premature_reset_limit, False),
    ],
)
def test_callers_that_give_up_together_do_not_end_their_connection(bed, edit, survives):
    with (
        bed(replicas=1, streams_per_pod=2 * MANY, max_pending=MANY, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        client.call()
        it.fleet.hang()
        for _ in range(2):
            batch = client.start(MANY)
            wait_until("all are with the replica", lambda: it.fleet.active + killed(it) >= MANY)
            batch.cancel()
            batch.wait()
            wait_until(
                "the gateway knows", lambda: it.gateway.downstream_stat("downstream_rq_active") == 0
            )
            if not survives:
                break
        assert (killed(it) == 0) is survives
        if survives:
            it.fleet.resume()
            assert client.call().code.name == "OK"
            assert it.gateway.downstream_stat("downstream_cx_total") == 1


def test_deadlines_that_fire_together_on_hung_replicas_do_not_end_their_connection(bed):
    with (
        bed(streams_per_pod=MANY, max_pending=MANY, traffic={"deadlineSeconds": 1}) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.hang()
        for _ in range(2):
            assert set(codes(client.calls(MANY, timeout_seconds=1))) <= {
                "DEADLINE_EXCEEDED",
                "UNAVAILABLE",
            }
        assert killed(it) == 0
        assert it.gateway.downstream_stat("downstream_cx_total") == 1


def without_control_frame_limit(config):
    del parts.http2_down(config)["max_outbound_control_frames"]


def without_frame_limit(config):
    del parts.http2_down(config)["max_outbound_frames"]


@pytest.mark.parametrize(
    ("edit", "complete", "floods"),
    [
        (unchanged, True, 0),
        (without_frame_limit, True, 1),
        (unchanged, False, 0),
        (without_control_frame_limit, False, 1),
    ],
)
def test_a_burst_that_is_refused_at_once_does_not_end_its_connection(bed, edit, complete, floods):
    """Each refusal is a frame, and another one where the call's body was still to come."""
    with bed(replicas=1, gateway={"maxConcurrentStreams": 65_536}, edit=edit) as it:
        it.dns.hosts = []
        wait_until("nobody serves", lambda: it.gateway.healthy_hosts() == 0)
        burst(it.gateway.port, 60_000, complete)
        stats = ("http2.outbound_flood", "http2.outbound_control_flood")
        assert sum(map(it.gateway.stat, stats)) == floods


def without_stream_errors(config):
    del parts.http2_down(config)["override_stream_error_on_invalid_http_message"]


@pytest.mark.parametrize(("edit", "survives"), [(unchanged, True), (without_stream_errors, False)])
def test_a_malformed_call_ends_its_stream_and_not_the_connection(bed, edit, survives):
    with bed(replicas=1, edit=edit) as it:
        assert malformed_call(it.gateway.port) == ("RST_STREAM" if survives else "closed")


def members(bed: Bed) -> str:
    return bed.gateway.get("/clusters")[1]


def with_the_usual_window(config):
    """HTTP/2's own initial window for the whole connection."""
    parts.http2_down(config)["initial_connection_window_size"] = 65535


@pytest.mark.parametrize(("edit", "goes_on"), [(unchanged, True), (with_the_usual_window, False)])
def test_large_calls_to_a_stuck_replica_do_not_stop_the_others(bed, edit, goes_on):
    def without_checks(config):
        """Nothing that would find the replica stuck, and so free what it holds."""
        edit(config)
        del parts.cluster(config)["health_checks"]
        del parts.cluster(config)["upstream_bind_config"]  # TCP_USER_TIMEOUT

    tensor = bytes(300 * 1024)
    with (
        bed(
            listed=1,
            streams_per_pod=8,
            max_pending=8,
            # The calls that are stuck stay so while the others are tried.
            traffic={"deadlineSeconds": 60},
            edit=without_checks,
        ) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        (good, stuck), active = it.fleet.hosts, it.gateway.downstream_stat
        it.fleet.stop(it.fleet.replicas[1])
        with reads_nothing(stuck, it.fleet.port):
            it.dns.hosts = [stuck]
            wait_until(
                "it is the only one", lambda: stuck in members(it) and good not in members(it)
            )
            batch = client.start(8, payload=tensor)
            wait_until("it has them", lambda: active("downstream_rq_active") == 8)
            it.dns.hosts = [good, stuck]
            wait_until("the other is back", lambda: good in members(it))
            outcomes = client.calls(4, timeout_seconds=10, payload=tensor)
            assert (codes(outcomes) == {"OK": 4}) is goes_on
            batch.cancel()
            batch.wait()


def with_a_reset_bucket_by_streams(config):
    options = parts.http2_down(config)
    options["stream_reset_burst"] = 4 * options["max_concurrent_streams"]
    options["stream_reset_rate"] = 2 * options["max_concurrent_streams"]


@pytest.mark.parametrize(
    ("edit", "frame"), [(unchanged, "PING"), (with_a_reset_bucket_by_streams, "GOAWAY")]
)
def test_calls_that_are_each_reset_at_once_do_not_end_their_connection(bed, edit, frame):
    """Calls that waited in the client until just before their deadline, one after another."""
    calls = 100 * MANY
    with bed(replicas=1, gateway={"maxConcurrentStreams": MANY}, edit=edit) as it:
        it.fleet.hang()
        assert reset_each(it.gateway.port, calls) == frame
        if frame == "PING":
            assert it.gateway.downstream_stat("downstream_rq_total") == calls


def without_idle_timeout(config):
    del parts.manager(config)["common_http_protocol_options"]["idle_timeout"]


def assert_ends(bed: Bed, *, ends: bool) -> None:
    """Wait for the end of the one connection; or for 8 health checks, which it survives."""
    wait_until("it is connected", lambda: bed.gateway.downstream_stat("downstream_cx_total"))
    if ends:
        wait_until("it has ended", lambda: killed(bed))
        return
    checks = bed.gateway.cluster_stat("health_check.success")
    wait_until("time passes", lambda: bed.gateway.cluster_stat("health_check.success") > checks + 8)
    assert bed.gateway.downstream_stat("downstream_cx_active") == 1


@pytest.mark.parametrize(("edit", "closed"), [(unchanged, True), (without_idle_timeout, False)])
def test_a_connection_that_carries_nothing_is_closed(bed, edit, closed):
    """With a shorter time than its 300 s; Envoy's own is an hour."""

    def in_short(config):
        parts.manager(config)["common_http_protocol_options"]["idle_timeout"] = "0.2s"
        edit(config)

    with bed(replicas=1, edit=in_short) as it, silent(it.gateway.port):
        assert_ends(it, ends=closed)


def without_pings(config):
    del parts.http2_down(config)["connection_keepalive"]


@pytest.mark.parametrize(("edit", "ended"), [(unchanged, True), (without_pings, False)])
def test_the_connection_of_a_caller_that_is_gone_is_ended(bed, edit, ended):
    """With shorter times than its 30 s and 10 s."""

    def in_short(config):
        keepalive = parts.http2_down(config)["connection_keepalive"]
        keepalive.update(interval="0.2s", timeout="0.3s")
        edit(config)

    with bed(replicas=1, edit=in_short) as it, silent(it.gateway.port):
        assert_ends(it, ends=ended)
