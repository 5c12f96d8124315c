"""The gateway's one connection to a replica: what must not end it, and what must not stop it."""

import socket

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import (
    answering,
    burst,
    large_trailers,
    malformed_answer,
    reads_nothing,
)
from tests.envoy.harness.sockets import connections_to
from tests.envoy.harness.waiting import wait_until

UNCHECKED = {"healthChecks": {"intervalSeconds": 3600}, "retries": {"attempts": 0}}


def without(setting):
    def edit(config):
        del parts.http2_up(config)[setting]

    edit.__name__ = f"without_{setting}"
    return edit


@pytest.mark.parametrize(
    ("edit", "stays"),
    [(unchanged, True), (without("override_stream_error_on_invalid_http_message"), False)],
)
def test_a_malformed_answer_ends_its_stream_and_not_the_connection(bed, edit, stays):
    with (
        bed(replicas=1, gateway=UNCHECKED, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        with answering(it.fleet.hosts[0], it.fleet.port, malformed_answer) as answered:
            assert "OK" not in codes(client.calls(3, window=1))
            assert answered == ([3] if stays else [1, 1, 1])


@pytest.mark.parametrize(
    ("edit", "stays"), [(unchanged, True), (without("max_header_field_size_kb"), False)]
)
def test_a_long_error_message_ends_its_stream_and_not_the_connection(bed, edit, stays):
    """As of Triton, which repeats a model's name that it does not know.

    Messages above 256 KiB do end it: Envoy's codec does not decode them.
    """
    with (
        bed(replicas=1, gateway=UNCHECKED, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        size = 250 * 1024

        def answer(stream: int) -> bytes:
            return large_trailers(stream, size)

        with answering(it.fleet.hosts[0], it.fleet.port, answer) as answered:
            assert "OK" not in codes(client.calls(3, window=1))
            assert answered == ([3] if stays else [1, 1, 1])


@pytest.mark.parametrize(
    ("edit", "floods"),
    [
        (unchanged, (0, 0)),
        (without("max_outbound_frames"), (1, 0)),
        (without("max_outbound_control_frames"), (0, 1)),
    ],
)
def test_deadlines_that_fire_together_do_not_end_the_connection_to_a_busy_replica(
    bed, edit, floods
):
    """One frame for each call, and one more to give it up, wait until the replica reads again."""

    def with_small_buffers(config):
        edit(config)
        # What is not read must wait in Envoy and not in the kernel.
        parts.cluster(config)["upstream_bind_config"]["socket_options"].append(
            {
                "level": socket.SOL_SOCKET,
                "name": socket.SO_SNDBUF,
                "int_value": 4096,
                "state": "STATE_PREBIND",
            }
        )

    gateway = {**UNCHECKED, "maxConcurrentStreams": 20_000}
    calls = 11_000
    with bed(
        replicas=1,
        streams_per_pod=12_000,
        max_pending=12_000,
        gateway=gateway,
        traffic={"deadlineSeconds": 2},
        edit=with_small_buffers,
    ) as it:
        it.fleet.stop(it.fleet.replicas[0])
        with reads_nothing(it.fleet.hosts[0], it.fleet.port, greets=True):
            assert burst(it.gateway.port, calls, complete=True) == calls
            stats = ("http2.outbound_flood", "http2.outbound_control_flood")
            assert tuple(it.gateway.cluster_stat(stat) for stat in stats) == floods


def without_keepalive(config):
    del parts.cluster(config)["upstream_connection_options"]


def without_user_timeout(config):
    del parts.cluster(config)["upstream_bind_config"]


@pytest.mark.parametrize(
    ("edit", "keepalive", "user_timeout"),
    [
        (unchanged, True, True),
        (without_keepalive, False, True),
        (without_user_timeout, True, False),
    ],
)
def test_a_connection_to_a_dead_node_is_found_out(bed, edit, keepalive, user_timeout):
    """Idle by TCP keepalive, with data under way by TCP_USER_TIMEOUT; both within 20 s.

    Read off the kernel's sockets; that Linux keeps its word is not proved here.
    """
    with bed(replicas=1, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        client.call()
        sockets = connections_to(it.gateway.process.pid, it.fleet.hosts[0], it.fleet.port)
        assert len(sockets) == 1
        for sock in sockets:
            tcp = [
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
            alive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert (alive and tcp[0] + tcp[1] * tcp[2] <= 20) is keepalive
            timeout_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert (0 < timeout_ms <= 20_000) is user_timeout
            sock.close()


def with_http2_pings(config):
    parts.http2_up(config)["connection_keepalive"] = {"interval": "0.1s", "timeout": "5s"}


@pytest.mark.parametrize(("edit", "stays"), [(unchanged, True), (with_http2_pings, False)])
def test_replicas_do_not_end_connections_for_too_many_pings(bed, edit, stays):
    """gRPC's ping limits at their defaults, as Triton has them."""
    with bed(replicas=1, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        client.call()
        checks = it.gateway.cluster_stat("health_check.success")
        wait_until(
            "time passes" if stays else "the replica sends GOAWAY",
            lambda: (
                it.gateway.cluster_stat("health_check.success") > checks + 8
                and (stays or it.gateway.cluster_stat("upstream_cx_destroy") > 0)
            ),
        )
        assert (it.gateway.cluster_stat("upstream_cx_destroy") == 0) is stays
