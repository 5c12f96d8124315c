"""Traces: the spans of a collector, the context of a replica, and collectors that fail.

Not shown: the spans of Triton itself, and a real collector.
"""

import socket
from collections.abc import Iterator

import pytest

from components.gateway.envoy.protojson import Json
from tests.envoy.harness import parts
from tests.envoy.harness.backend import FAIL, INFER
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.collector import Collector, attributes
from tests.envoy.harness.tokens import TokenIssuer, bearer
from tests.envoy.harness.waiting import free_ports, wait_until

SHARE = 0.25
PARENT = "b7ad6b7169203331"
ISSUER = TokenIssuer("issuer")
TOKEN = ISSUER.token(sub="orchestrator")


def at_once(config: Json) -> None:
    """Send each span by itself, and not up to 5 s later."""
    parts.runtime(config)["tracing.opentelemetry.min_flush_spans"] = 1


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Bed]:
    gateway = {
        "tracing": {"collector": f"127.0.0.1:{collector.port}", "samplingShare": SHARE},
        "callers": {"jwt": {"issuers": [ISSUER.config()]}},
    }
    folder = tmp_path_factory.mktemp("tracing")
    with open_bed(folder, replicas=1, gateway=gateway, edit=at_once) as bed:
        yield bed


@pytest.fixture(scope="module")
def caller(it: Bed) -> Iterator[GrpcClient]:
    with GrpcClient(it.gateway.port) as client:
        yield client


def context(trace_id: str, flags: str) -> tuple[tuple[str, str], ...]:
    traceparent = ("traceparent", f"00-{trace_id}-{PARENT}-{flags}")
    return (traceparent, *bearer(TOKEN)["metadata"])


def handed_on(it: Bed) -> list[str]:
    """Parts of the `traceparent` that the replica got with the last call."""
    return str(dict(it.fleet.replicas[0].metadata)["traceparent"]).split("-")


def test_a_call_in_a_sampled_trace_gets_a_span_and_the_replica_its_context(it, caller, collector):
    trace = "0af7651916cd43dd8448eb211c80319c"
    payload = f"{FAIL} NOT_FOUND".encode()
    assert caller.call(payload=payload, metadata=context(trace, "01")).code.name == "NOT_FOUND"
    (span,) = collector.of(trace)
    assert span.parent_span_id.hex() == PARENT
    assert handed_on(it) == ["00", trace, span.span_id.hex(), "01"]
    assert span.name == INFER
    said = attributes(span)
    assert (said["caller"], said["grpc.status_code"]) == ("orchestrator", "5")
    resource = collector.resources[0]
    assert resource["service.name"] == it.stack.gateway_name
    assert resource["k8s.namespace.name"] == it.stack.namespace
    assert TOKEN not in str(span)


def test_a_call_in_a_trace_that_is_not_sampled_gets_no_span(it, caller, collector):
    quiet, last = "1" * 32, "2" * 32
    caller.call(metadata=context(quiet, "00"))
    assert (handed_on(it)[1], handed_on(it)[3]) == (quiet, "00")
    caller.call(metadata=context(last, "01"))
    collector.of(last)
    assert quiet not in {span.trace_id.hex() for span in collector.spans}


def test_calls_without_a_context_are_sampled_by_share(caller, collector):
    """Envoy by itself would send no span of a call with such a request ID."""
    before, last = len(collector.spans), "3" * 32
    request_id = ("x-request-id", "a caller's own")
    metadata = (request_id, *bearer(TOKEN)["metadata"])
    assert codes(caller.calls(200, window=2, metadata=metadata)) == {"OK": 200}
    caller.call(metadata=context(last, "01"))
    collector.of(last)
    # Six standard deviations around the mean.
    assert 13 <= len(collector.spans) - before - 1 <= 87


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("broken", ["closed", "unknown", "silent"])
def test_a_collector_that_fails_costs_no_call(tmp_path, silent, broken):
    (closed,) = free_ports(1)
    collector = {
        "closed": f"127.0.0.1:{closed}",
        "unknown": "collector.observability.svc:4317",
        "silent": f"127.0.0.1:{silent}",
    }[broken]
    tracing = {"tracing": {"collector": collector, "samplingShare": 1}}
    with (
        open_bed(tmp_path, replicas=1, gateway=tracing, edit=at_once) as it,
        GrpcClient(it.gateway.port) as caller,
    ):
        assert codes(caller.calls(100, window=4)) == {"OK": 100}
        sent = "tracing.opentelemetry.spans_sent"
        wait_until("Envoy tried to send each span", lambda: it.gateway.stat(sent) == 100)
