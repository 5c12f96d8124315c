"""A client's connection ends by its age: the client moves, and no call is lost.

With a shorter age than its minutes. Not shown: clients that do not understand GOAWAY, and that
Envoy lengthens each age at random.
"""

from typing import Any

import pytest

from components.gateway.envoy.protojson import Json
from tests.envoy.harness import parts
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.stream import Stream
from tests.envoy.harness.waiting import wait_until


def http(config: Json) -> dict[str, Any]:
    return parts.manager(config)["common_http_protocol_options"]


def in_short(config: Json) -> None:
    http(config)["max_connection_duration"] = "0.5s"


def never(config: Json) -> None:
    for field in ("max_connection_duration", "max_connection_duration_jitter"):
        del http(config)[field]


@pytest.mark.parametrize(("edit", "moves"), [(in_short, True), (never, False)])
def test_a_client_under_load_moves_and_loses_no_call(bed, edit, moves):
    with bed(edit=edit) as it, GrpcClient(it.gateway.port) as client:
        stream = Stream(client, pause_seconds=0.1, messages=25)
        wait_until("the stream has begun", lambda: stream.received)
        outcomes = client.calls(200, window=10)
        while it.gateway.downstream_stat("downstream_cx_total") < 3 and not stream.ended:
            outcomes += client.calls(50, window=10)
        wait_until("the stream ends", lambda: stream.ended)
        assert set(codes(outcomes)) == {"OK"}
        assert (stream.call.code().name, stream.received) == ("OK", 25)
        assert (it.gateway.downstream_stat("downstream_cx_total") >= 3) is moves
        reached = it.gateway.downstream_stat("downstream_cx_max_duration_reached")
        assert (reached >= 2) is moves


def test_a_client_without_calls_moves_too_and_loses_none(bed):
    with bed(replicas=1, edit=in_short) as it, GrpcClient(it.gateway.port) as client:
        for ended in range(2):
            assert client.call().code.name == "OK"
            wait_until(
                "its connection has ended",
                lambda ended=ended: it.gateway.downstream_stat("downstream_cx_destroy") > ended,
            )
        assert client.call().code.name == "OK"
