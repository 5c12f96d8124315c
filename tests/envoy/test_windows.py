"""HTTP/2 windows: how much one call may put into the gateway, and what the others keep."""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.link import slow_link
from tests.envoy.harness.raw import reads_nothing
from tests.envoy.harness.waiting import wait_until

KIB = 1024
UNCHECKED = {"healthChecks": {"intervalSeconds": 3600}, "retries": {"attempts": 0}}


def without_window_up(config):
    del parts.http2_up(config)["initial_stream_window_size"]


def without_window_down(config):
    del parts.http2_down(config)["initial_stream_window_size"]


@pytest.mark.parametrize(("edit", "bounded"), [(unchanged, True), (without_window_down, False)])
def test_a_call_that_no_replica_takes_does_not_fill_the_gateways_memory(bed, edit, bounded):
    """Envoy's own window is 16 MiB a call; the capacity check reckons with the stack's."""
    with (
        bed(replicas=1, traffic={"deadlineSeconds": 5}, gateway=UNCHECKED, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        with reads_nothing(it.fleet.hosts[0], it.fleet.port):
            assert client.call(payload=bytes(3000 * KIB)).code.name == "DEADLINE_EXCEEDED"
            received = it.gateway.downstream_stat("downstream_cx_rx_bytes_total")
            assert received > 32 * KIB
            assert (received < 1000 * KIB) is bounded


def unread_stream(client: GrpcClient):
    """Ask for 4 MiB of answers and take none of them."""
    return client.stream(iter([bytes(64 * KIB)] * 64))


def answered_bytes(bed: Bed) -> int:
    return bed.gateway.cluster_stat("upstream_cx_rx_bytes_total")


@pytest.mark.parametrize(("edit", "bounded"), [(unchanged, True), (without_window_up, False)])
def test_answers_that_nobody_takes_do_not_fill_the_gateways_memory(bed, edit, bounded):
    traffic = {"deadlineSeconds": 1, "maxStreamSeconds": 5, "streamIdleSeconds": 5}
    with (
        bed(replicas=1, traffic=traffic, gateway=UNCHECKED, edit=edit) as it,
        GrpcClient(it.gateway.port, **{"http2.bdp_probe": 0}) as client,
    ):
        stream = unread_stream(client)
        wait_until("it is sent", lambda: answered_bytes(it) > 32 * KIB)
        wait_until("it ends", lambda: it.gateway.downstream_stat("downstream_rq_active") == 0)
        assert (answered_bytes(it) < 1000 * KIB) is bounded
        stream.cancel()


def with_the_usual_window(config):
    """HTTP/2's own initial window for the whole connection."""
    parts.http2_up(config)["initial_connection_window_size"] = 65535


@pytest.mark.parametrize(("edit", "goes_on"), [(unchanged, True), (with_the_usual_window, False)])
def test_answers_that_nobody_takes_do_not_stop_the_others(bed, edit, goes_on):
    with (
        bed(replicas=1, gateway=UNCHECKED, edit=edit) as it,
        GrpcClient(it.gateway.port, **{"http2.bdp_probe": 0}) as idle,
        GrpcClient(it.gateway.port) as client,
    ):
        streams = [unread_stream(idle) for _ in range(4)]
        wait_until("answers are held", lambda: answered_bytes(it) > 4 * 32 * KIB)
        seen = -1

        def stalled() -> bool:
            nonlocal seen
            before, seen = seen, answered_bytes(it)
            return before == seen

        wait_until("no more is taken", stalled)
        outcomes = client.calls(4, timeout_seconds=10, payload=bytes(32 * KIB))
        assert (codes(outcomes) == {"OK": 4}) is goes_on
        for stream in streams:
            stream.cancel()


LARGE_KIB = 40 * KIB
LARGE = {"requestKib": LARGE_KIB, "maxRequestKib": LARGE_KIB}
ROOM = {"memoryMib": 4096}


def seconds_over_a_link(bed: Bed) -> float:
    """Time of a call of 40 MiB over a link with a round trip of 2 ms; the better of two."""
    with (
        slow_link(bed.gateway.port, 0.001) as port,
        # The answer is as large, and its window is the caller's.
        GrpcClient(
            port,
            **{"max_receive_message_length": -1, "http2.lookahead_bytes": 64 * KIB * KIB},
        ) as client,
    ):
        calls = client.calls(2, window=1, payload=bytes(LARGE_KIB * KIB - 5))
        assert codes(calls) == {"OK": 2}
        return min(call.seconds for call in calls)


def test_a_large_call_takes_no_round_trip_for_each_64_kib(bed):
    """A window of 64 KiB is 640 round trips, 1.3 s. The memory check counts the larger window."""
    with bed(replicas=1, traffic=LARGE, gateway=ROOM) as it:
        derived = seconds_over_a_link(it)
    with bed(replicas=1, traffic=LARGE, gateway={**ROOM, "streamWindowKib": 64}) as it:
        assert seconds_over_a_link(it) > 2 * derived
