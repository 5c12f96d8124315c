"""The access log: the calls that it has, the contents of a line, and the bound on its rate.

Not shown: kubelet, which writes a pod's output to files and rotates them.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from components.gateway.envoy.protojson import Json
from components.gateway.envoy.stats import LINES_DENIED
from config.sections.gateway_callers import CALLER_HEADER
from tests.envoy.harness.backend import FAIL, INFER, REFUSE, STREAM
from tests.envoy.harness.bed import Bed, open_bed, unchanged
from tests.envoy.harness.client import CallEnd, GrpcClient
from tests.envoy.harness.parts import manager
from tests.envoy.harness.record import with_rate
from tests.envoy.harness.tokens import TokenIssuer, bearer
from tests.envoy.harness.waiting import wait_until

OK_SHARE = 0.25
LOG = {"okShare": OK_SHARE, "linesPerSecond": 200, "modelHeader": "mm-model-id"}
SECRET = "s3cret"
ISSUER = TokenIssuer("issuer")
TOKEN = ISSUER.token(sub="orchestrator")


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("access-log")
    gateway = {"accessLog": LOG, "callers": {"jwt": {"issuers": [ISSUER.config()]}}}
    edit = with_rate(folder, gateway)
    traffic = {"maxStreamSeconds": 1, "maxRequestKib": 64}
    small = {"replicas": 1, "streams_per_pod": 2, "traffic": traffic}
    with open_bed(folder, gateway=gateway, edit=edit, **small) as bed:
        yield bed


@pytest.fixture(scope="module")
def caller(it: Bed) -> Iterator[GrpcClient]:
    with GrpcClient(it.gateway.port) as client:
        yield client


def lines(it: Bed, request_id: str, count: int = 1) -> list[Json]:
    """Lines of the calls with a request ID, once there are as many."""
    found: list[Json] = []

    def written() -> bool:
        found[:] = [line for line in it.gateway.access_log if line["request_id"] == request_id]
        return len(found) >= count

    wait_until(f"{count} lines of {request_id}", written)
    return found


def named(request_id: str, token: str = TOKEN) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", request_id), *bearer(token)["metadata"])


def test_a_line_says_what_became_of_a_call(it, caller):
    metadata = (*named("failed"), ("mm-model-id", "resnet"))
    caller.call(payload=f"{FAIL} NOT_FOUND".encode(), metadata=metadata)
    (line,) = lines(it, "failed")
    assert line.pop("time").endswith("Z")
    # Numbers are numbers in JSON, and not strings.
    assert 0 <= line.pop("replica_ms") <= line.pop("duration_ms")
    replica = f"{it.fleet.hosts[0]}:{it.fleet.port}"
    assert line == {
        "method": INFER,
        "model": "resnet",
        "status": "NOT_FOUND",
        "flags": "-",
        "reason": "via_upstream",
        "replica": replica,
        "attempts": 1,
        # The payload and gRPC's prefix.
        "bytes_in": 19,
        "bytes_out": 0,
        "caller": "orchestrator",
        "address": "127.0.0.1",
        "request_id": "failed",
    }


def test_a_call_gets_a_request_id_where_the_log_has_it(it, caller):
    caller.call(**bearer(TOKEN))
    assert len(dict(it.fleet.replicas[0].metadata)["x-request-id"]) == len(str(uuid4()))


def test_without_a_record_of_calls_only_a_callers_own_request_id_reaches_the_replica(bed):
    with bed(replicas=1) as it, GrpcClient(it.gateway.port) as client:
        for metadata in ((), (("x-request-id", "its own"),)):
            assert client.call(metadata=metadata).code is grpc.StatusCode.OK
            received = dict(it.fleet.replicas[0].metadata)
            assert received.get("x-request-id") == dict(metadata).get("x-request-id")


def unserved(it: Bed, caller: GrpcClient, request_id: str) -> None:
    del it
    call = caller.channel.unary_unary(f"/a/b?token={SECRET}")
    assert call.future(SECRET.encode(), metadata=named(request_id)).exception()


def too_large(it: Bed, caller: GrpcClient, request_id: str) -> None:
    payload = bytes(it.stack.traffic.max_request_kib * 1024 + 1)
    caller.call(payload=payload, metadata=named(request_id))


def late(it: Bed, caller: GrpcClient, request_id: str) -> None:
    del it
    never = threading.Event()
    requests = iter(never.wait, True)
    with pytest.raises(grpc.RpcError):
        list(caller.channel.stream_stream(STREAM)(requests, metadata=named(request_id)))
    never.set()


def without_token(it: Bed, caller: GrpcClient, request_id: str) -> None:
    del it
    forged = ((CALLER_HEADER, "orchestrator"), ("x-request-id", request_id))
    caller.call(metadata=forged)


def given_up(it: Bed, caller: GrpcClient, request_id: str) -> None:
    it.fleet.hang()
    calls = caller.start(1, metadata=named(request_id))
    it.fleet.wait_for_active(1)
    calls.cancel()
    it.fleet.wait_for_active(0)
    it.fleet.resume()


@pytest.mark.parametrize(
    ("make", "status", "flags", "reason"),
    [
        (unserved, "UNIMPLEMENTED", "-", "direct_response"),
        (without_token, "UNAUTHENTICATED", "-", "jwt_authn_access_denied{Jwt_is_missing}"),
        (too_large, "RESOURCE_EXHAUSTED", "-", "request_payload_too_large"),
        (late, "DEADLINE_EXCEEDED", "-", "max_duration_timeout"),
        # The caller has seen no status.
        (given_up, None, "DR", "http2.remote_reset"),
    ],
)
def test_every_call_that_does_not_end_ok_has_a_line_with_envoys_reason(
    it, caller, make, status, flags, reason
):
    make(it, caller, make.__name__)
    (line,) = lines(it, make.__name__)
    assert (line["status"], line["flags"], line["reason"]) == (status, flags, reason)
    # Not the name that a call without a token states itself.
    assert line["caller"] == (None if make is without_token else "orchestrator")


def test_every_call_that_a_full_gateway_refuses_has_a_line(it, caller):
    it.fleet.hang()
    calls = caller.start(150, metadata=named("refused"))
    wait_until("the gateway refuses", lambda: calls.codes["UNAVAILABLE"] > 0)
    it.fleet.resume()
    refused = sum(end.overloaded for end in calls.wait())
    assert {line["flags"] for line in lines(it, "refused", refused) if line["status"] != "OK"} == {
        "UO"
    }


def test_calls_that_end_ok_have_lines_by_share_at_random(it, caller):
    """The choice by request ID would give all of these calls a line, or none."""
    calls: list[CallEnd] = caller.calls(300, window=2, metadata=named("answered"))
    assert {end.code.name for end in calls} == {"OK"}
    caller.call(payload=f"{REFUSE} NOT_FOUND".encode(), metadata=named("last"))
    lines(it, "last")
    # Six standard deviations around the mean.
    assert 30 <= len(lines(it, "answered")) <= 120


def test_no_payload_no_token_and_no_other_header_is_in_a_line(it, caller):
    metadata = (
        *named("with-secrets"),
        ("x-api-key", SECRET),
        ("mm-model-id", "m" * 200),
    )
    caller.call(payload=f"{FAIL} NOT_FOUND".encode(), metadata=metadata)
    unserved(it, caller, "with-query")
    caller.call(payload=f"{FAIL} NOT_FOUND".encode(), metadata=named("i" * 100))
    (line,) = lines(it, "with-secrets")
    assert line["model"] == "m" * 128
    (line,) = lines(it, "with-query")
    assert line["method"] == "/a/b"
    lines(it, "i" * 36)
    text = json.dumps(it.gateway.access_log)
    assert SECRET not in text
    assert TOKEN not in text


def without_rate(config: Json) -> None:
    (log,) = manager(config)["access_log"]
    log["filter"] = log["filter"]["and_filter"]["filters"][0]


@pytest.mark.parametrize(("mutate", "bounded"), [(unchanged, True), (without_rate, False)])
def test_a_flood_of_refusals_writes_as_many_lines_as_stated_and_counts_the_others(
    tmp_path: Path, mutate: Callable[[Json], None], bounded: bool
):
    gateway: dict[str, Any] = {"accessLog": {"linesPerSecond": 1}}
    rate = with_rate(tmp_path, gateway)

    def edit(config: Json) -> None:
        rate(config)
        mutate(config)

    with (
        open_bed(tmp_path, replicas=1, gateway=gateway, edit=edit) as it,
        GrpcClient(it.gateway.port) as caller,
    ):
        count = len(caller.calls(500, payload=f"{REFUSE} NOT_FOUND".encode()))
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        denied = sum(map(int, re.findall(rf"^{LINES_DENIED}{{.*}} ([0-9]+)$", text, re.MULTILINE)))
        wait_until(
            "each call has a line, or is counted",
            lambda: len(it.gateway.access_log) == count - denied,
        )
    # One at first, and one for each second that the calls took.
    assert (denied > count / 2) is bounded
