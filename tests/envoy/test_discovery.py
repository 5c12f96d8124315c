"""DNS as the fleet's register: who joins, who leaves, and what happens while it fails."""

import time

import pytest
from dnslib import RCODE

from components.gateway.envoy.stats import CLUSTER_LABEL, LOOKUPS
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.dns import GARBAGE, SILENT, HeadlessService
from tests.envoy.harness.waiting import wait_until


def members(bed: Bed) -> int:
    return bed.gateway.cluster_stat("membership_total")


def looked_up(bed: Bed) -> float:
    """The counter of DNS answers, as Prometheus gets it."""
    _, text = bed.gateway.get("/stats/prometheus", port=bed.stack.gateway.ops_port)
    (line,) = (
        line
        for line in text.splitlines()
        if line.startswith(LOOKUPS + "{") and f'{CLUSTER_LABEL}="{bed.stack.envoy_cluster}"' in line
    )
    return float(line.rpartition(" ")[2])


def without_ignoring_health(config):
    del parts.cluster(config)["ignore_health_on_host_removal"]


@pytest.mark.parametrize(("edit", "leaves"), [(unchanged, True), (without_ignoring_health, False)])
def test_a_replica_that_leaves_dns_gets_no_more_calls_though_it_is_healthy(bed, edit, leaves):
    with bed(replicas=3, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        gone = it.fleet.replicas[0]
        it.dns.hosts = it.fleet.hosts[1:]
        asked = it.dns.asked.total()
        wait_until("the name is resolved again", lambda: it.dns.asked.total() > asked + 2)
        assert members(it) == (2 if leaves else 3)
        before = gone.calls
        assert codes(client.calls(60, window=6)) == {"OK": 60}
        assert (gone.calls == before) is leaves


def test_calls_in_flight_on_a_replica_that_leaves_are_finished(bed):
    with bed() as it, GrpcClient(it.gateway.port) as client:
        client.calls(20, window=4)
        it.fleet.hang()
        batch = client.start(10)
        it.fleet.wait_for_active(10)
        it.dns.hosts = it.fleet.hosts[1:]
        wait_until("it has left", lambda: members(it) == 1)
        it.fleet.resume()
        assert codes(batch.wait()) == {"OK": 10}


def fails(failure):
    return lambda dns: setattr(dns, "failure", failure)


@pytest.mark.parametrize(
    "fail",
    [
        fails(RCODE.SERVFAIL),
        fails(RCODE.REFUSED),
        fails(SILENT),
        fails(GARBAGE),
        HeadlessService.stop,
    ],
    ids=["SERVFAIL", "REFUSED", "silent", "malformed", "dead"],
)
def test_while_dns_fails_the_fleet_stays_and_the_alert_sees_it(bed, fail):
    """Envoy's own way, which no setting of ours brings about.

    `DiscoveryFailing` asks for an answer within its time: its counter stands still.
    """
    with bed() as it, GrpcClient(it.gateway.port) as client:
        fail(it.dns)
        failed = it.gateway.cluster_stat("update_failure")
        wait_until("a look-up fails", lambda: it.gateway.cluster_stat("update_failure") > failed)
        answered = looked_up(it)
        failed = it.gateway.cluster_stat("update_failure")
        wait_until("the next fails", lambda: it.gateway.cluster_stat("update_failure") > failed)
        assert looked_up(it) == answered > 0
        assert members(it) == 2
        assert codes(client.calls(20, window=2)) == {"OK": 20}


def test_an_empty_service_refuses_at_once_and_recovers(bed):
    with bed() as it, GrpcClient(it.gateway.port) as client:
        it.dns.hosts = []
        wait_until("the fleet is gone", lambda: members(it) == 0)
        outcome = client.call()
        assert (outcome.code.name, outcome.overloaded) == ("UNAVAILABLE", False)
        it.dns.hosts = it.fleet.hosts
        wait_until("the fleet is back", lambda: it.gateway.healthy_hosts() == 2)
        assert client.call().code.name == "OK"


def with_ttl(config):
    parts.dns(config)["respect_dns_ttl"] = True


@pytest.mark.parametrize(("edit", "seen"), [(unchanged, True), (with_ttl, False)])
def test_a_new_replica_is_seen_within_a_refresh_whatever_the_ttl(bed, edit, seen):
    """CoreDNS's own cache may still answer with what it knew; that is `dns_ttl_seconds`."""
    with bed(replicas=2, listed=1, ttl_seconds=600, edit=edit) as it:
        it.dns.hosts = it.fleet.hosts
        if seen:
            wait_until("it has joined", lambda: members(it) == 2)
        else:
            time.sleep(5 * it.stack.gateway.dns_refresh_seconds)
            assert members(it) == 1


def with_search_domains(config):
    resolver = parts.dns(config)["typed_dns_resolver_config"]["typed_config"]
    del resolver["dns_resolver_options"]


@pytest.mark.parametrize(("edit", "exact"), [(unchanged, True), (with_search_domains, False)])
def test_only_the_name_itself_is_asked_for(bed, edit, exact):
    """The bed gives Envoy a pod's `ndots:5` and a search domain."""
    with bed(edit=edit) as it:
        assert (set(it.dns.asked) == {it.stack.discovery_host}) is exact


def test_a_fleet_that_does_not_fit_into_one_datagram_is_found(bed):
    """The answer over UDP is truncated at 512 bytes, and Envoy asks again over TCP."""
    with bed(replicas=2) as it:
        assert members(it) == 2
        assert it.dns.asked_over_tcp == 0
        it.dns.hosts = [f"127.0.1.{n}" for n in range(1, 121)]
        wait_until("all have joined", lambda: members(it) == 120)
        assert it.dns.asked_over_tcp > 0
