"""Deadlines and streams: who answers, when, and with which code."""

import time

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.stream import Stream
from tests.envoy.harness.waiting import wait_until

DEADLINE = {"deadlineSeconds": 2}
SHORT = {"deadlineSeconds": 0.5}


def without_duration(config):
    for route in parts.routes(config):
        del route["max_stream_duration"]


def with_route_timeout(config):
    """The baseline's way."""
    without_duration(config)
    for route in parts.routes(config):
        route["timeout"] = "0.3s"


@pytest.mark.parametrize(("edit", "by_gateway"), [(unchanged, True), (without_duration, False)])
@pytest.mark.parametrize("timeout_seconds", [0.5, 2.0])
def test_the_gateway_answers_before_the_callers_deadline_fires(
    bed, edit, by_gateway, timeout_seconds
):
    """A machine that stalls lets a caller be first, for all its calls at once: most rounds hold."""
    with bed(traffic=DEADLINE, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.hang()
        rounds = [client.calls(4, timeout_seconds) for _ in range(5)]
        assert {o.code.name for calls in rounds for o in calls} == {"DEADLINE_EXCEEDED"}
        answered = [sum(not o.by_caller for o in calls) for calls in rounds]
        assert answered.count(4) >= 3 if by_gateway else sum(answered) == 0


def test_no_caller_can_ask_for_more_than_the_deadline(bed):
    with bed(traffic=SHORT) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.hang()
        outcome = client.call(60)
        assert (outcome.code.name, outcome.by_caller) == ("DEADLINE_EXCEEDED", False)


@pytest.mark.parametrize(
    ("edit", "code"), [(unchanged, "DEADLINE_EXCEEDED"), (with_route_timeout, "UNAVAILABLE")]
)
def test_a_call_without_a_deadline_ends_at_the_stacks(bed, edit, code):
    with bed(traffic=SHORT, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.hang()
        assert codes(client.calls(3, timeout_seconds=None)) == {code: 3}


def test_without_a_duration_such_a_call_never_ends(bed):
    with bed(traffic=SHORT, edit=without_duration) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.hang()
        batch = client.start(1)
        time.sleep(3 * SHORT["deadlineSeconds"])
        assert not batch.outcomes
        batch.cancel()
        batch.wait()


STREAMS = {"deadlineSeconds": 0.3, "maxStreamSeconds": 2, "streamIdleSeconds": 1}


def test_a_stream_outlives_the_unary_deadline_but_not_its_own_bound(bed):
    with bed(traffic=STREAMS) as it, GrpcClient(it.gateway.port) as client:
        stream = Stream(client, pause_seconds=0.1)
        wait_until("the gateway ends the stream", lambda: stream.ended)
        assert stream.seconds > 3 * STREAMS["deadlineSeconds"]
        assert stream.seconds > 0.9 * STREAMS["maxStreamSeconds"]
        assert stream.received > 5
        assert it.gateway.downstream_stat("downstream_rq_max_duration_reached") == 1


def without_stream_route(config):
    parts.named_route(config, "stream")["route"] = parts.named_route(config, "unary")["route"]


def test_without_its_own_route_a_stream_is_cut_at_the_unary_deadline(bed):
    with (
        bed(traffic=STREAMS, edit=without_stream_route) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        stream = Stream(client, pause_seconds=0.1)
        wait_until("the gateway ends the stream", lambda: stream.ended)
        assert stream.seconds < 0.9 * STREAMS["maxStreamSeconds"]


def without_idle_timeout(config):
    parts.routes(config)[0]["idle_timeout"] = "0s"


@pytest.mark.parametrize(("edit", "cut"), [(unchanged, True), (without_idle_timeout, False)])
def test_a_silent_stream_is_ended_before_its_bound(bed, edit, cut):
    with bed(traffic=STREAMS, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        stream = Stream(client, pause_seconds=60)
        wait_until("the gateway ends the stream", lambda: stream.ended)
        assert (it.gateway.downstream_stat("downstream_rq_idle_timeout") == 1) is cut
        assert (it.gateway.downstream_stat("downstream_rq_max_duration_reached") == 0) is cut
        stream.end()


def with_header_bound(config):
    route = parts.routes(config)[0]["max_stream_duration"]
    route["grpc_timeout_header_max"] = route["max_stream_duration"]
    route["grpc_timeout_header_offset"] = "0.2s"


@pytest.mark.parametrize(
    ("edit", "code"), [(unchanged, "DEADLINE_EXCEEDED"), (with_header_bound, "INTERNAL")]
)
def test_a_streams_own_deadline_has_a_reason_of_its_own(bed, edit, code):
    with bed(traffic=STREAMS, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        stream = Stream(client, pause_seconds=0.1, timeout_seconds=1)
        wait_until("the stream ends", lambda: stream.ended)
        assert stream.call.code().name == code
