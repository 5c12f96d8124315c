"""Retries: of which calls, to which replica, how often, and how many at once."""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.backlog import full_backlog
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import answering, refusal
from tests.envoy.harness.waiting import wait_until

NEVER = 3600
UNCHECKED = {
    "healthChecks": {"intervalSeconds": NEVER},
    "outliers": {"maxEjectionPercent": 0},
    "retries": {"attempts": 1},
}
"""Neither health checks after the first nor ejections: one retry alone."""


def without_retries(config):
    for route in parts.routes(config):
        del route["retry_policy"]


def without_other_host(config):
    for policy in parts.retry_policies(config):
        del policy["retry_host_predicate"]


def without_further_picks(config):
    for policy in parts.retry_policies(config):
        del policy["host_selection_retry_max_attempts"]


def without_connect_failure(config):
    for policy in parts.retry_policies(config):
        policy["retry_on"] = "refused-stream"


@pytest.mark.parametrize(
    ("edit", "all_ok"),
    [
        (unchanged, True),
        (without_retries, False),
        (without_connect_failure, False),
        (without_other_host, False),
        (without_further_picks, False),
    ],
)
def test_a_call_that_a_replica_refuses_is_tried_on_another(bed, edit, all_ok):
    with bed(gateway=UNCHECKED, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.stop(it.fleet.replicas[0])
        outcomes = client.calls(60, window=1)
        assert (codes(outcomes) == {"OK": 60}) is all_ok


def with_a_long_connect_timeout(config):
    parts.cluster(config)["connect_timeout"] = "10s"


@pytest.mark.parametrize(
    ("edit", "all_ok"), [(unchanged, True), (with_a_long_connect_timeout, False)]
)
def test_a_replica_that_does_not_accept_is_given_up_within_the_deadline(bed, edit, all_ok):
    with (
        bed(gateway=UNCHECKED, traffic={"deadlineSeconds": 2}, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        with full_backlog(it.fleet.hosts[0], it.fleet.port):
            # One at a time: under load the idle replica draws the retry, too, until it is ejected.
            outcomes = client.calls(12, window=1)
        assert (codes(outcomes) == {"OK": 12}) is all_ok


def test_a_call_that_a_replica_has_begun_is_not_retried(bed):
    """It may have had an effect: only what no replica has seen is safe to repeat."""
    with bed(gateway=UNCHECKED) as it, GrpcClient(it.gateway.port) as client:
        client.calls(20, window=4)
        it.fleet.hang()
        batch = client.start(10)
        it.fleet.wait_for_active(10)
        before = sum(it.fleet.calls)
        for replica in it.fleet.replicas:
            it.fleet.stop(replica)
        assert codes(batch.wait()) == {"UNAVAILABLE": 10}
        assert sum(it.fleet.calls) == before
        assert it.gateway.cluster_stat("upstream_rq_retry") == 0


def without_budget(config):
    parts.retry_budget(config)["min_retry_concurrency"] = 1000


@pytest.mark.parametrize(("edit", "bounded"), [(unchanged, True), (without_budget, False)])
def test_retries_stay_within_their_budget(bed, edit, bounded):
    """Nobody accepts, so that calls wait, and fail together when the connection is given up."""
    gateway = {**UNCHECKED, "retries": {"attempts": 1, "minConcurrency": 3}}
    with bed(gateway=gateway, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        for replica in it.fleet.replicas:
            it.fleet.stop(replica)
        first, second = it.fleet.hosts
        with full_backlog(first, it.fleet.port), full_backlog(second, it.fleet.port):
            client.calls(60)
        assert (it.gateway.cluster_stat("upstream_rq_retry_overflow") > 0) is bounded


def test_callers_cannot_ask_for_more_retries(bed):
    with bed(gateway=UNCHECKED) as it, GrpcClient(it.gateway.port) as client:
        for replica in it.fleet.replicas:
            it.fleet.stop(replica)
        asked = (("x-envoy-max-retries", "5"), ("x-envoy-retry-on", "connect-failure"))
        client.call(metadata=asked)
        assert it.gateway.cluster_stat("upstream_rq_retry") == 1


def without_refused_stream(config):
    for policy in parts.retry_policies(config):
        policy["retry_on"] = "connect-failure"


@pytest.mark.parametrize(("edit", "all_ok"), [(unchanged, True), (without_refused_stream, False)])
def test_a_call_that_a_stopping_replica_turns_away_is_tried_on_another(bed, edit, all_ok):
    """It answers REFUSED_STREAM, as for calls that meet its GOAWAY: it processed none of it."""
    with bed(gateway=UNCHECKED, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.stop(it.fleet.replicas[0])
        with answering(it.fleet.hosts[0], it.fleet.port, refusal) as answered:
            outcomes = client.calls(40, window=1)
            assert answered
        assert (codes(outcomes) == {"OK": 40}) is all_ok


def without_number(config):
    for policy in parts.retry_policies(config):
        del policy["num_retries"]


@pytest.mark.parametrize(("edit", "tries"), [(unchanged, 3), (without_number, 1)])
def test_a_call_is_retried_as_often_as_stated(bed, edit, tries):
    gateway = {**UNCHECKED, "retries": {"attempts": 3}}
    with bed(gateway=gateway, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        for replica in it.fleet.replicas:
            it.fleet.stop(replica)
        assert client.call().code.name == "UNAVAILABLE"
        assert it.gateway.cluster_stat("upstream_rq_retry") == tries


def without_budget_percent(config):
    del parts.retry_budget(config)["budget_percent"]


def without_min_concurrency(config):
    del parts.retry_budget(config)["min_retry_concurrency"]


@pytest.mark.parametrize(
    ("retries", "edit", "enough"),
    [
        ({"budgetPercent": 100, "minConcurrency": 1}, unchanged, True),
        ({"budgetPercent": 100, "minConcurrency": 1}, without_budget_percent, False),
        ({"budgetPercent": 0, "minConcurrency": 150}, unchanged, True),
        ({"budgetPercent": 0, "minConcurrency": 150}, without_min_concurrency, False),
    ],
)
def test_the_budget_for_retries_is_as_large_as_stated(bed, retries, edit, enough):
    """150 calls are in flight while 120 others are refused, all at the same moment."""
    with (
        bed(streams_per_pod=400, gateway={**UNCHECKED, "retries": retries}, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        refusing, holding = it.fleet.replicas
        client.calls(20, window=4)
        it.fleet.hang()
        first = client.start(300)
        it.fleet.wait_for_active(300)
        it.fleet.stop(refusing)
        wait_until("half are lost", lambda: len(first.outcomes) == 300 - holding.active)
        more = client.start(120)
        wait_until(
            "each call is held or given up",
            lambda: holding.active + len(more.outcomes) + len(first.outcomes) == 420,
        )
        assert (it.gateway.cluster_stat("upstream_rq_retry_overflow") == 0) is enough
        it.fleet.resume()
        first.wait()
        more.wait()
