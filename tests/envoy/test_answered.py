"""Calls that the gateway answers by itself: no replica sees them, whatever they are."""

import http.client
import socket
from contextlib import suppress

import grpc
import pytest

from components.gateway.envoy.routes import EXPIRED, NOT_SERVED, SERVICE, UNARY_METHODS
from tests.envoy.harness import parts
from tests.envoy.harness.backend import INFER, STREAM
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import first_frame

LIMIT_KIB = 256
TRAFFIC = {"deadlineSeconds": 2, "maxRequestKib": LIMIT_KIB}


def call(client: GrpcClient, path: str, *metadata: tuple[str, str]) -> tuple[str, str]:
    """(status, message) of one call."""
    try:
        client.channel.unary_unary(path)(b"tensor", metadata=metadata)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def reached(bed: Bed) -> int:
    """Calls that the gateway has sent to replicas; a replica counts those that are whole."""
    return bed.gateway.cluster_stat("upstream_rq_total")


def routed(config):
    """All paths, as a gateway does that knows no methods."""
    route = parts.named_route(config, "unary")
    route["match"] = {"prefix": "/"}
    del parts.virtual_host(config)["routes"][-1]


UNKNOWN = [
    f"/{SERVICE}/Nothing",
    f"/{SERVICE}/RepositoryModelUnload",
    f"/{SERVICE}/SystemSharedMemoryRegister",
    f"/{SERVICE}/LogSettings",
    f"{INFER}/",
    f"{INFER}?model=echo",
    f"/{INFER}",
    INFER.lower(),
    f"/{SERVICE}",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check",
    "/foo",
    "/",
]


@pytest.mark.parametrize(("edit", "answered"), [(unchanged, True), (routed, False)])
def test_unknown_methods_are_unimplemented(bed, edit, answered):
    with bed(replicas=1, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        said = {path: call(client, path) for path in UNKNOWN}
        assert (set(said.values()) == {("UNIMPLEMENTED", NOT_SERVED)}) is answered
        assert (reached(it) == 0) is answered


def test_the_methods_that_are_served_reach_replicas(bed):
    with bed(replicas=1) as it, GrpcClient(it.gateway.port) as client:
        for method in UNARY_METHODS:
            assert call(client, f"/{SERVICE}/{method}")[0] == "OK", method
        assert reached(it) == len(UNARY_METHODS)


NOT_GRPC = [
    {":method": "GET"},
    {":method": "PUT"},
    {"content-type": "text/plain"},
    {"content-type": "application/json"},
    {"content-type": None},
]


@pytest.mark.parametrize(("edit", "answered"), [(unchanged, True), (routed, False)])
def test_requests_that_are_no_grpc_calls_reach_no_replica(bed, edit, answered):
    with bed(replicas=1, edit=edit) as it:
        for headers in NOT_GRPC:
            assert first_frame(it.gateway.port, INFER, headers) == "HEADERS", headers
        assert (reached(it) == 0) is answered


def test_http_1_and_garbage_reach_no_replica(bed):
    with bed(replicas=1) as it:
        for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00"):
            with socket.create_connection(("127.0.0.1", it.gateway.port), timeout=10) as sock:
                sock.sendall(sent + bytes(100))
                while sock.recv(4096):
                    pass
        with pytest.raises(http.client.HTTPException):
            it.gateway.get(INFER, port=it.gateway.port)
        assert reached(it) == 0


def with_expired_calls(config):
    routes = parts.virtual_host(config)["routes"]
    routes.remove(parts.named_route(config, "expired"))


@pytest.mark.parametrize(("edit", "answered"), [(unchanged, True), (with_expired_calls, False)])
def test_calls_whose_deadline_is_over_reach_no_replica(bed, edit, answered):
    """The gateway takes 0.05 s of each deadline for its answer."""
    over = ("0n", "1n", "0m", "0S", "00000000H", "50m", "50000u", "49999999n")
    with bed(replicas=1, traffic=TRAFFIC, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        said = {value: call(client, INFER, ("grpc-timeout", value)) for value in over}
        assert {code for code, _ in said.values()} == {"DEADLINE_EXCEEDED"}
        assert ({text for _, text in said.values()} == {EXPIRED}) is answered
        assert (reached(it) == 0) is answered


def test_deadlines_that_are_none_count_as_unset(bed):
    with bed(replicas=1, traffic=TRAFFIC) as it, GrpcClient(it.gateway.port) as client:
        for value in ("", "n", "5", "-1S", "1x", "0x1S", "1.5S", "999999999999S", "soon"):
            assert call(client, INFER, ("grpc-timeout", value))[0] == "OK", value


def without_limit(config):
    parts.remove_filter(config, "body_size_limit")


def with_envoys_status(config):
    del parts.manager(config)["local_reply_config"]


@pytest.mark.parametrize(
    ("edit", "code"),
    [(unchanged, "RESOURCE_EXHAUSTED"), (without_limit, "OK"), (with_envoys_status, "UNKNOWN")],
)
def test_a_request_beyond_the_limit_is_refused(bed, edit, code):
    """The largest that is allowed passes; clients that state the length are refused before it."""
    with (
        bed(replicas=1, traffic=TRAFFIC, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        assert client.call(payload=bytes(LIMIT_KIB * 1024)).code.name == "OK"
        for size in (LIMIT_KIB * 1024 + 1, 4 * LIMIT_KIB * 1024):
            outcome = client.call(payload=bytes(size))
            assert outcome.code.name == code
            if code == "RESOURCE_EXHAUSTED":
                assert f"limit of {LIMIT_KIB} KiB (traffic.maxRequestKib)" in outcome.details
        if code == "RESOURCE_EXHAUSTED":
            assert it.fleet.calls == [1]
        assert it.gateway.downstream_stat("downstream_cx_total") == 1


def test_a_request_that_states_a_length_beyond_the_limit_reaches_no_replica(bed):
    with bed(replicas=1, traffic=TRAFFIC) as it:
        length = {"content-length": str(LIMIT_KIB * 1024 + 6)}
        assert first_frame(it.gateway.port, INFER, length, end=False) == "HEADERS"
        assert reached(it) == 0


def test_requests_beyond_the_limit_do_not_disturb_the_others(bed):
    """They share a connection, on both sides of the gateway."""
    with (
        bed(replicas=1, service_seconds=0.05, traffic=TRAFFIC) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        good = client.start(30, window=10)
        bad = client.calls(30, window=10, payload=bytes(2 * LIMIT_KIB * 1024))
        assert codes(bad) == {"RESOURCE_EXHAUSTED": 30}
        assert codes(good.wait()) == {"OK": 30}
        assert it.gateway.downstream_stat("downstream_cx_total") == 1
        assert it.gateway.cluster_stat("upstream_cx_total") == 1
        # A line for each would let a caller fill the log.
        assert "exceeds maximum" not in it.gateway.log


def with_limited_streams(config):
    del parts.named_route(config, "stream")["typed_per_filter_config"]


@pytest.mark.parametrize(("edit", "goes_on"), [(unchanged, True), (with_limited_streams, False)])
def test_a_stream_may_carry_more_than_one_request_may(bed, edit, goes_on):
    with bed(replicas=1, traffic=TRAFFIC, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        message = bytes(100 * 1024)
        answers = client.channel.stream_stream(STREAM)(iter([message] * 8))
        received = 0
        with suppress(grpc.RpcError):
            for _ in answers:
                received += 1
        assert (received == 8) is goes_on
        # A client that is still sending may see the end of its stream before the status.
        assert (answers.code().name == "OK") is goes_on
