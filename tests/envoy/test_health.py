"""Health checks: how soon the gateway acts on them, and what it does without a call to serve."""

import copy

import pytest

from components.specs.envoy import validate
from components.specs.envoy.bootstrap import bootstrap
from config.inference import InferenceStack
from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import Client
from tests.envoy.harness.waiting import wait_until


@pytest.mark.parametrize(
    "setting",
    ["interval", "timeout", "unhealthy_threshold", "healthy_threshold", "grpc_health_check"],
)
def test_envoy_refuses_a_health_check_without_it(setting):
    """Nothing to fall back on: Envoy has no defaults for these."""
    config = copy.deepcopy(bootstrap(InferenceStack()))
    del parts.health_check(config)[setting]
    with pytest.raises(validate.BootstrapError):
        validate.validate(config)


def without_no_traffic_interval(config):
    del parts.health_check(config)["no_traffic_interval"]


@pytest.mark.parametrize(
    ("edit", "noticed"), [(unchanged, True), (without_no_traffic_interval, False)]
)
def test_replicas_are_checked_before_the_first_call(bed, edit, noticed):
    """Envoy's own pace before it has served a call is one check a minute."""
    with bed(gateway={"healthChecks": {"intervalSeconds": 0.1}}, edit=edit) as it:
        it.fleet.replicas[0].serving = False
        asked = it.dns.asked.total()
        if noticed:
            wait_until("it is out", lambda: it.gateway.healthy_hosts() == 1)
        else:
            wait_until("time passes", lambda: it.dns.asked.total() > asked + 5)
            assert it.gateway.healthy_hosts() == 2


def without_update_merge_window(config):
    del parts.common_balance(config)["update_merge_window"]


@pytest.mark.parametrize(
    ("edit", "at_once"), [(unchanged, True), (without_update_merge_window, False)]
)
def test_what_a_health_check_finds_holds_for_the_next_call(bed, edit, at_once):
    """Envoy's own way is to gather changes for a second."""
    with (
        bed(gateway={"healthChecks": {"intervalSeconds": 0.1}}, edit=edit) as it,
        Client(it.gateway.port) as client,
    ):
        sick = it.fleet.replicas[0]
        wrong = 0
        for _ in range(3):
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
        assert (wrong == 0) is at_once
