"""Health checks: how soon the gateway acts on them, and what it does without a call to serve.

What is to show how long something takes is counted beside the gateway's own look-ups of its name.
"""

import copy
import statistics

import pytest

from components.gateway.envoy import validate
from components.gateway.envoy.bootstrap import bootstrap
from config.sections.inference import InferenceStack
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.checks import by_hand
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.waiting import wait_until


def wait_for_lookups(bed: Bed, count: int) -> None:
    asked = bed.dns.asked.total()
    wait_until("time passes", lambda: bed.dns.asked.total() > asked + count)


@pytest.mark.parametrize(
    "setting",
    ["interval", "timeout", "unhealthy_threshold", "healthy_threshold", "http_health_check"],
)
def test_envoy_refuses_a_health_check_without_it(setting):
    """Nothing to fall back on: Envoy has no defaults for these."""
    config = copy.deepcopy(bootstrap(InferenceStack()))
    del parts.health_check(config)[setting]
    with pytest.raises(validate.BootstrapError):
        validate.validate(config)


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.1, 5, 50), (3600, 0, 0)])
def test_checks_follow_one_another_as_stated(bed, seconds, least, most):
    """Once there was a call; before, the pace is another setting's.

    The middle one of three rounds, for a machine that stalls spoils the one that it stalls in.
    """
    with (
        bed(replicas=1, gateway={"healthChecks": {"intervalSeconds": seconds}}) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        client.call()
        checks: list[int] = []
        for _ in range(3):
            before = it.fleet.replicas[0].checks
            wait_for_lookups(it, 5)
            checks.append(it.fleet.replicas[0].checks - before)
        assert least <= statistics.median(checks) <= most


def checked_by_hand(bed, **settings):
    """A bed of one replica that is still to join."""
    checks = {"intervalSeconds": 0.05, "timeoutSeconds": 60, **settings}
    return bed(replicas=1, listed=0, gateway={"healthChecks": checks})


@pytest.mark.parametrize("stated", [1, 3])
def test_a_replica_is_out_after_as_many_failed_checks_as_stated(bed, stated):
    with checked_by_hand(bed, unhealthyThreshold=stated) as it, by_hand(it) as checks:
        checks.answer(serving=True)
        for failed in range(1, stated + 1):
            checks.hang_up()
            assert (it.gateway.healthy_hosts() == 0) is (failed == stated)


def test_a_replica_that_says_that_it_does_not_serve_is_out_at_once(bed):
    with checked_by_hand(bed, unhealthyThreshold=3) as it, by_hand(it) as checks:
        checks.answer(serving=True)
        checks.answer(serving=False)
        assert it.gateway.healthy_hosts() == 0


@pytest.mark.parametrize("stated", [1, 3])
def test_a_replica_is_back_after_as_many_good_checks_as_stated(bed, stated):
    """Not its very first one: that one is enough, whatever is stated."""
    with checked_by_hand(bed, healthyThreshold=stated) as it, by_hand(it) as checks:
        checks.answer(serving=True)
        assert it.gateway.healthy_hosts() == 1
        checks.answer(serving=False)
        for good in range(1, stated + 1):
            checks.answer(serving=True)
            assert (it.gateway.healthy_hosts() == 1) is (good == stated)


@pytest.mark.parametrize(("stated", "fails"), [(0.5, True), (60, False)])
def test_a_check_that_is_answered_later_than_stated_has_failed(bed, stated, fails):
    settings = {"timeoutSeconds": stated, "unhealthyThreshold": 1}
    with checked_by_hand(bed, **settings) as it, by_hand(it) as checks:
        checks.answer(serving=True)
        wait_for_lookups(it, 4)
        assert (it.gateway.healthy_hosts() == 0) is fails
        if not fails:
            checks.answer(serving=True)
            assert it.gateway.healthy_hosts() == 1


def without_no_traffic_interval(config):
    del parts.health_check(config)["no_traffic_interval"]


@pytest.mark.parametrize(
    ("edit", "noticed"), [(unchanged, True), (without_no_traffic_interval, False)]
)
def test_replicas_are_checked_before_the_first_call(bed, edit, noticed):
    """Envoy's own pace before it has served a call is one check a minute."""
    with bed(gateway={"healthChecks": {"intervalSeconds": 0.1}}, edit=edit) as it:
        it.fleet.replicas[0].serving = False
        if noticed:
            wait_until("it is out", lambda: it.gateway.healthy_hosts() == 1)
        else:
            wait_for_lookups(it, 5)
            assert it.gateway.healthy_hosts() == 2


def without_update_merge_window(config):
    del parts.common_balance(config)["update_merge_window"]


@pytest.mark.parametrize(
    ("edit", "at_once"), [(unchanged, True), (without_update_merge_window, False)]
)
def test_what_a_health_check_finds_holds_for_the_next_call(bed, edit, at_once):
    """Envoy's own way is to gather changes for a second, which a slow machine may outlast."""
    checks = {"healthChecks": {"intervalSeconds": 0.1, "timeoutSeconds": 60}}
    with (
        bed(gateway=checks, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        sick = it.fleet.replicas[0]
        wrong = 0
        for _ in range(3 if at_once else 20):
            sick.serving = False
            wait_until("it is out", lambda: it.gateway.healthy_hosts() == 1)
            before = sick.calls
            client.calls(20, window=1)
            wrong += sick.calls != before
            sick.serving = True
            wait_until("it is back", lambda: it.gateway.healthy_hosts() == 2)
            before = sick.calls
            client.calls(20, window=1)
            wrong += sick.calls == before
            if wrong:
                break
        assert (wrong == 0) is at_once


def without_unhealthy_interval(config):
    del parts.health_check(config)["unhealthy_interval"]
    del parts.health_check(config)["unhealthy_edge_interval"]


@pytest.mark.parametrize(
    ("edit", "sooner"), [(unchanged, True), (without_unhealthy_interval, False)]
)
def test_a_replica_that_starts_is_checked_more_often(bed, edit, sooner):
    """The longest interval decides how late its first call is."""
    gateway = {"healthChecks": {"intervalSeconds": 0.4}}
    with bed(gateway=gateway, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        client.call()
        starts, serves = it.fleet.replicas
        starts.serving = False
        wait_until("it is out", lambda: it.gateway.healthy_hosts() == 1)
        before = starts.checks, serves.checks
        wait_until("checks pass", lambda: serves.checks > before[1] + 12)
        ratio = (starts.checks - before[0]) / (serves.checks - before[1])
        assert (ratio > 2) is sooner
