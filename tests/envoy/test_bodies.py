"""Calls whose bodies never come, and what others get meanwhile.

Not shown: callers that send the start of a body and no more; they count as others do.
"""

import threading
from collections.abc import Iterator

import grpc
import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.backend import INFER, STREAM
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import without_bodies
from tests.envoy.harness.waiting import wait_until

CONNECTIONS, CALLS = 100, 100
WAITS = {"awaitFirstByte": True}


def without_the_wait(config):
    parts.remove_filter(config, "ext_authz")


@pytest.mark.parametrize(("edit", "served"), [(unchanged, True), (without_the_wait, False)])
def test_beside_10000_calls_without_bodies_a_caller_is_served(bed, edit, served):
    with (
        bed(gateway=WAITS, traffic={"deadlineSeconds": 60}, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        # The calls would only find the queue, and no place at a replica, without a connection.
        while it.gateway.cluster_stat("upstream_cx_active") < 2:
            client.calls(8, window=2)
        before = it.gateway.downstream_stat("downstream_rq_total")
        with without_bodies(it.gateway.port, CALLS, CONNECTIONS):
            there = it.gateway.downstream_stat
            wait_until("all are there", lambda: there("downstream_rq_total") - before == 10_000)
            outcomes = client.calls(100, window=2)
        assert (codes(outcomes)["OK"] >= 99) is served
        refused = [each for each in outcomes if each.code.name != "OK"]
        assert all(each.code.name == "UNAVAILABLE" and each.overloaded for each in refused)


class NoBody:
    """A request's messages, of which none comes until the end of the block."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __enter__(self) -> Iterator[bytes]:
        return self._messages()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _messages(self) -> Iterator[bytes]:
        self._over.wait()
        yield b"late"


@pytest.mark.parametrize("method", [INFER, STREAM])
@pytest.mark.parametrize(("edit", "held"), [(unchanged, True), (without_the_wait, False)])
def test_a_call_takes_no_place_at_a_replica_before_its_first_byte(bed, edit, held, method):
    with (
        bed(replicas=1, gateway=WAITS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
        NoBody() as messages,
    ):
        call = client.channel.stream_stream(method)(messages)
        there = it.gateway.downstream_stat
        wait_until("the gateway has it", lambda: there("downstream_rq_active") == 1)
        if held:
            assert it.gateway.cluster_stat("upstream_rq_total") == 0
        else:
            wait_until("a replica has it", lambda: it.gateway.cluster_stat("upstream_rq_active"))
        call.cancel()


def test_a_call_without_a_body_ends_at_its_deadline(bed):
    with (
        bed(replicas=1, gateway=WAITS, traffic={"deadlineSeconds": 0.5}) as it,
        GrpcClient(it.gateway.port) as client,
        NoBody() as messages,
    ):
        call = client.channel.stream_unary(INFER).future(messages)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert ("server", "envoy") in call.initial_metadata() + call.trailing_metadata()
        assert it.fleet.calls == [0]


def held_on_every_route(config):
    for route in parts.virtual_host(config)["routes"]:
        route.get("typed_per_filter_config", {}).pop("envoy.filters.http.ext_authz", None)


@pytest.mark.parametrize(
    ("edit", "code"), [(unchanged, "UNIMPLEMENTED"), (held_on_every_route, "DEADLINE_EXCEEDED")]
)
def test_the_gateways_own_answers_wait_for_no_body(bed, edit, code):
    with (
        bed(replicas=1, gateway=WAITS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
        NoBody() as messages,
    ):
        call = client.channel.stream_unary("/elsewhere/Method").future(messages, timeout=1)
        assert call.code().name == code
