"""The account of a burst agrees with the real gateway's own counters.

The replicas are grpcio servers that echo requests. Not shown: that Triton answers in the same way.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.gateway.envoy.drain import drain_script
from eventflow.bearer import token_metadata
from eventflow.channel import Channel
from eventflow.client import Client, Request
from eventflow.engine import ConnectionRecord
from eventflow.fetch import difference, read_counters
from eventflow.kserve import Tensor, grpc_message, infer_request
from eventflow.ledger import Ledger
from eventflow.load import ClosedLoop, Load, MaxThroughput
from eventflow.load_generator import LoadGenerator, Plan
from eventflow.outcomes import Outcome
from eventflow.report import Report, summarize
from eventflow.run import Burst, run_burst
from eventflow.target import Target
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.tokens import TokenIssuer
from tests.envoy.harness.waiting import wait_until
from tests.envoy.test_drain import stop, two_gateways

INPUTS = (Tensor.of_strings("INPUT", ["x" * 64]),)


@pytest.fixture
def bed(tmp_path: Path) -> Callable[..., AbstractContextManager[Bed]]:
    """A gateway and its replicas."""
    return partial(open_bed, tmp_path)


def a_burst(
    port: int, calls: int, load: Load, deadline_seconds: float = 20.0, **options: Any
) -> Burst:
    return Burst(
        target=Target(host="127.0.0.1", port=port),
        plan=Plan(load=load, calls=calls, deadline_seconds=deadline_seconds),
        message=grpc_message(infer_request("echo", INPUTS)),
        **options,
    )


def burst(port: int, calls: int, load: Load = MaxThroughput(), **plan: Any) -> Report:  # noqa: B008
    work = a_burst(port, calls, load, **plan)
    return summarize(work, asyncio.run(run_burst(work)))


def test_pings_on_the_connection_are_measured_beside_the_calls(bed) -> None:
    # Few calls in flight: at a constant rate, a bed that stands still for a moment refuses some.
    with bed(replicas=1, service_seconds=0.02) as it:
        work = a_burst(it.gateway.port, 100, ClosedLoop(4), echo_seconds=0.02)
        report = summarize(work, asyncio.run(run_burst(work)))
        assert happened(report) == {Outcome.OK: 100}
        assert report.echo_ms is not None
        assert report.echo_ms.count > 5
        assert report.connections_killed == 0


def happened(report: Report) -> dict[Outcome, int]:
    return {outcome: calls for outcome, calls in report.outcomes.items() if calls}


def test_rejections_by_the_breaker_equal_the_gateways_own_count(bed) -> None:
    with bed(replicas=2, service_seconds=0.2, streams_per_pod=8, max_pending=8) as it:
        report = burst(it.gateway.port, 500)
        overflow = it.gateway.cluster_stat("upstream_rq_pending_overflow")
        overflow += it.gateway.cluster_stat("upstream_rq_active_overflow")
        assert happened(report) == {Outcome.OK: 500 - overflow, Outcome.BREAKER: overflow}
        assert overflow > 400
        assert sum(it.fleet.calls) == report.outcomes[Outcome.OK]
        assert (report.connections_opened, report.connections_killed) == (1, 0)
        assert it.gateway.downstream_stat("downstream_cx_total") == 1
        assert report.refusal_ms is not None
        assert report.refusal_ms.count == overflow


def test_rejections_by_the_callers_rate_limit_equal_the_gateways_own_count(bed) -> None:
    limit = {"requestsPerSecond": 0.01, "burst": 30}
    with bed(replicas=1, gateway={"callers": {"limit": limit}}) as it:
        report = burst(it.gateway.port, 200)
        assert happened(report) == {Outcome.OK: 30, Outcome.LIMITED: 170}
        assert it.gateway.stat("caller_limit.http_local_rate_limit.rate_limited") == 170
        assert sum(it.fleet.calls) == 30


def test_a_token_from_a_file_opens_a_gateway_that_requires_one(bed, tmp_path: Path) -> None:
    issuer, file = TokenIssuer("issuer"), tmp_path / "token"
    file.write_text(issuer.token())
    with bed(replicas=1, gateway={"callers": {"jwt": {"issuers": [issuer.config()]}}}) as it:
        target = Target(host="127.0.0.1", port=it.gateway.port, metadata=token_metadata(file, None))
        work = replace(a_burst(it.gateway.port, 20, MaxThroughput()), target=target)
        assert happened(summarize(work, asyncio.run(run_burst(work)))) == {Outcome.OK: 20}
        assert happened(burst(it.gateway.port, 20)) == {Outcome.OTHER: 20}
        assert it.gateway.downstream_stat("jwt_authn.denied") == 20


def test_calls_that_no_replica_answers_in_time_count_as_deadline(bed) -> None:
    with bed(replicas=2) as it:
        it.fleet.hang()
        report = burst(it.gateway.port, 60, deadline_seconds=1.0)
        it.fleet.resume()
        assert happened(report) == {Outcome.DEADLINE: 60}
        assert report.connections_killed == 0
        assert {detail.detail for detail in report.details} <= {"by the server", "by the client"}


def test_a_gateway_without_replicas_is_reported_as_no_healthy_upstream(bed) -> None:
    with bed(replicas=1, listed=0) as it:
        report = burst(it.gateway.port, 20)
        assert happened(report) == {Outcome.NO_UPSTREAM: 20}


def with_endpoint_stats(config: Any) -> None:
    parts.cluster(config)["track_cluster_stats"] = {"per_endpoint_stats": True}


@pytest.mark.parametrize("page", ["clusters", "stats/prometheus"])
def test_calls_per_replica_are_read_from_the_gateways_pages(bed, page: str) -> None:
    with bed(replicas=3, edit=with_endpoint_stats) as it:
        page = f"http://127.0.0.1:{it.stack.gateway.admin_port}/{page}"
        before = read_counters(page)
        report = burst(it.gateway.port, 600, ClosedLoop(12))
        calls = difference(before, read_counters(page))
        assert happened(report) == {Outcome.OK: 600}
        ours = {pod: count for pod, count in calls.items() if f":{it.fleet.port}" in pod}
        assert ours == {
            f"{host}:{it.fleet.port}": count
            for host, count in zip(it.fleet.hosts, it.fleet.calls, strict=True)
        }


def with_envoys_reset_guard(config: Any) -> None:
    """Restore Envoy's own limit of resets, which the product raises, and remove all timeouts.

    Health checks are removed because a replica that holds thousands of calls answers them late.
    """
    del parts.cluster(config)["health_checks"]
    del parts.http2_down(config)["stream_reset_burst"]
    for route in parts.routes(config):
        route.pop("max_stream_duration", None)
        route["timeout"] = "0s"


def test_a_connection_killed_by_the_gateway_is_reported_with_every_call_it_lost(bed) -> None:
    """The gateway kills a connection after 1,000 resets; the first 1,200 calls send more.

    The closed loop keeps calls on the connection for three more deadlines, so that the kill comes
    during calls even on a slow machine. A late open loop would give calls up unsent.
    """
    with bed(
        replicas=1, streams_per_pod=5000, max_pending=5000, edit=with_envoys_reset_guard
    ) as it:
        it.fleet.hang()
        report = burst(it.gateway.port, 4800, ClosedLoop(1200), deadline_seconds=1.0)
        it.fleet.resume()
        assert report.connections_killed >= 1
        assert set(happened(report)) <= {Outcome.DEADLINE, Outcome.CONNECTION_LOST}
        lost = sum(life.calls_lost for life in report.connections)
        unsent = sum(d.calls for d in report.details if d.detail == "no connection")
        assert report.outcomes[Outcome.CONNECTION_LOST] == lost + unsent
        killed = [life for life in report.connections if life.killed]
        assert all("GOAWAY" in life.why for life in killed)


@dataclass
class Steady:
    """Calls on one channel, eight in flight, until the block ends."""

    port: int
    ledger: Ledger = field(default_factory=Ledger)
    connections: list[ConnectionRecord] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Steady":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.more()
        return self

    async def _run(self) -> None:
        channel = Channel(Target(host="127.0.0.1", port=self.port))
        await channel.connect()
        message = grpc_message(infer_request("echo", INPUTS))
        plan = Plan(load=ClosedLoop(8), calls=50, deadline_seconds=10.0)
        while not self._over.is_set():
            ledger = self.ledger
            await LoadGenerator(channel, plan, lambda _: message, ledger.make, ledger.settle).run()
        await channel.close()
        self.connections = channel.records

    def more(self) -> None:
        """Wait for calls that began after this moment."""
        seen = self.ledger.settled
        wait_until("more calls are made", lambda: self.ledger.settled > seen + 100)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_drain_moves_the_one_connection_and_no_call_fails(tmp_path: Path) -> None:
    with two_gateways(tmp_path) as two:
        with Steady(two.service.port) as load:
            assert stop(two, drain_script(two.first.stack)) == 0
            load.more()
        assert two.second.downstream_stat("downstream_cx_total") == 1
        assert two.second.downstream_stat("downstream_rq_total") > 0

    load.ledger.check(load.ledger.made)
    assert set(load.ledger.counts) == {Outcome.OK}
    assert [connection.killed for connection in load.connections] == [False, False]


def test_retries_get_calls_through_a_gateway_with_a_low_limit(bed) -> None:
    async def main(port: int) -> list[Outcome]:
        async with Client(f"127.0.0.1:{port}", deadline_seconds=20.0) as client:
            requests = [Request("echo", INPUTS, request_id=str(number)) for number in range(300)]
            results = await client.infer_many(requests, load=ClosedLoop(20))
            return [result.outcome for result in results]

    with bed(replicas=2, service_seconds=0.01, streams_per_pod=8, max_pending=1) as it:
        outcomes = asyncio.run(main(it.gateway.port))
        refused = it.gateway.cluster_stat("upstream_rq_pending_overflow")
        assert refused > 0
        # Retries have a budget, so a few calls may stay rejected; nothing else may happen.
        assert set(outcomes) <= {Outcome.OK, Outcome.BREAKER}
        assert outcomes.count(Outcome.OK) == sum(it.fleet.calls)
        assert outcomes.count(Outcome.BREAKER) < refused
