"""Replicas that refuse, hang, fail or are merely slow: who gets calls, and what a caller sees."""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.waiting import wait_until

NEVER = 3600


def without_health_checks(config):
    del parts.cluster(config)["health_checks"]


def with_checks_of_the_port_alone(config):
    check = parts.health_check(config)
    del check["http_health_check"]
    check["tcp_health_check"] = {}


@pytest.mark.parametrize(
    ("edit", "out"),
    [
        (unchanged, True),
        (without_health_checks, False),
        (with_checks_of_the_port_alone, False),
    ],
)
@pytest.mark.parametrize("fault", ["hung", "not serving"])
def test_a_replica_that_fails_its_health_check_gets_no_calls(bed, fault, edit, out):
    checks = {"healthChecks": {"intervalSeconds": 0.1, "timeoutSeconds": 2}}
    with bed(gateway=checks, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        sick = it.fleet.replicas[0]
        if fault == "hung":
            it.fleet.freeze(sick)
        else:
            sick.serving = False
        if out:
            wait_until("it is out", lambda: it.gateway.healthy_hosts() == 1)
        before = sick.calls
        client.calls(40, timeout_seconds=0.2, window=1)
        assert (sick.calls == before) is out

        it.fleet.resume()
        sick.serving = True
        wait_until("it is back", lambda: it.gateway.healthy_hosts() == 2)
        before = sick.calls
        client.calls(40, window=2)
        assert sick.calls > before


def with_panic_routing(config):
    del parts.common_balance(config)["healthy_panic_threshold"]


@pytest.mark.parametrize(("edit", "all_ok"), [(unchanged, True), (with_panic_routing, False)])
def test_replicas_that_start_get_no_calls_however_many_there_are(bed, edit, all_ok):
    """DNS names two for one that serves, and Envoy's default sends calls to all of them."""
    with (
        bed(
            replicas=3, listed=1, gateway={"healthChecks": {"timeoutSeconds": 60}}, edit=edit
        ) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.hang(*it.fleet.replicas[1:])
        for starting in it.fleet.replicas[1:]:
            starting.serving = False
        it.dns.hosts = it.fleet.hosts
        checked = [replica.checks for replica in it.fleet.replicas[1:]]
        assert checked == [0, 0]
        wait_until("they are checked", lambda: all(r.checks > 1 for r in it.fleet.replicas[1:]))
        outcomes = client.calls(30, timeout_seconds=2, window=5)
        assert (codes(outcomes) == {"OK": 30}) is all_ok


def without_outliers(config):
    del parts.cluster(config)["outlier_detection"]


@pytest.mark.parametrize(("edit", "few"), [(unchanged, True), (without_outliers, False)])
def test_a_replica_that_dies_under_load_costs_little_more_than_the_calls_it_held(bed, edit, few):
    """Idle, and so the least loaded, it draws every call and every retry until it is ejected."""
    slow_checks = {"healthChecks": {"intervalSeconds": NEVER}}
    with (
        bed(service_seconds=0.01, gateway=slow_checks, streams_per_pod=32, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        client.calls(20, window=8)
        it.fleet.hang(it.fleet.replicas[0])
        batch = client.start(4)
        held = wait_until("it holds calls", lambda: it.fleet.replicas[0].active)
        it.fleet.stop(it.fleet.replicas[0])
        outcomes = client.calls(200, window=8) + batch.wait()
        lost = sum(outcome.code.name != "OK" for outcome in outcomes)
        assert (lost <= held + 2) is few


def with_route_timeout_and_statuses(config):
    """The baseline's way: Envoy counts its own timeouts as failures of the replica."""
    for route in parts.routes(config):
        del route["max_stream_duration"]
        route["timeout"] = "0.5s"
    parts.outliers(config)["split_external_local_origin_errors"] = False
    parts.outliers(config)["enforcing_consecutive_5xx"] = 100


@pytest.mark.parametrize(
    ("edit", "ejected"), [(unchanged, False), (with_route_timeout_and_statuses, True)]
)
def test_a_slow_replica_is_not_ejected(bed, edit, ejected):
    """A saturated fleet answers too late; taking half of it away would finish it."""
    gateway = {"healthChecks": {"intervalSeconds": 0.1}}
    with (
        bed(service_seconds=60, gateway=gateway, traffic={"deadlineSeconds": 0.5}, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        client.calls(60, timeout_seconds=1)
        total = it.gateway.cluster_stat("outlier_detection.ejections_enforced_total")
        assert (total > 0) is ejected


def with_deadlines_upstream(config):
    del parts.virtual_host(config)["request_headers_to_remove"]


@pytest.mark.parametrize(("edit", "knows"), [(unchanged, False), (with_deadlines_upstream, True)])
def test_a_replica_does_not_know_the_deadline(bed, edit, knows):
    """It would answer DEADLINE_EXCEEDED just before the gateway does."""
    with bed(replicas=1, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        client.calls(5, timeout_seconds=10)
        (replica,) = it.fleet.replicas
        assert replica.calls == 5
        assert replica.deadlines == (5 if knows else 0)
