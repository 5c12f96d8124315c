"""Callers that hold connections, and what others get meanwhile.

Not shown: the memory of connections on other machines, and callers that open new ones faster than
the gateway closes them.
"""

import resource
from collections.abc import Iterator

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.raw import GREETING, hung_up, silent
from tests.envoy.harness.waiting import wait_until

IDLE = 4000
FILES = 2 * IDLE


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for thousands of sockets here, and in the gateway that is started from here."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(before[0], FILES), before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def with_128_kib_a_connection(config):
    most = parts.fixed_heap(config)["max_heap_size_bytes"] // (128 * 1024)
    parts.max_connections(config)["max_active_downstream_connections"] = most


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(
    ("edit", "served"), [(unchanged, True), (with_128_kib_a_connection, False)]
)
def test_beside_4000_connections_without_calls_a_new_caller_is_served(bed, edit, served):
    with bed(replicas=1, edit=edit) as it, silent(it.gateway.port, connections=IDLE):
        with silent(it.gateway.port) as new:
            assert hung_up(new[0], 0.5 if served else 20) is not served
        if served:
            active = it.gateway.downstream_stat
            wait_until("all are open", lambda: active("downstream_cx_active") >= IDLE)
            with GrpcClient(it.gateway.port) as client:
                assert client.call().code.name == "OK"


def without_reduced_timeouts(config):
    actions = config["overload_manager"]["actions"]
    actions[:] = [each for each in actions if "reduce_timeouts" not in each["name"]]


@pytest.mark.parametrize(("edit", "closed"), [(unchanged, True), (without_reduced_timeouts, False)])
def test_under_pressure_connections_without_calls_are_closed_sooner(bed, edit, closed):
    """With 0.2 s instead of 5, and a heap that an idle Envoy fills."""

    def pressed(config):
        for action in config["overload_manager"]["actions"]:
            for factor in action.get("typed_config", {}).get("timer_scale_factors", ()):
                factor["min_timeout"] = "0.2s"
        parts.fixed_heap(config)["max_heap_size_bytes"] = 1024 * 1024
        edit(config)

    with bed(replicas=1, edit=pressed) as it, silent(it.gateway.port) as caller:
        assert hung_up(caller[0], 10 if closed else 1) is closed


def without_inspector(config):
    del parts.listener(config)["listener_filters"]


@pytest.mark.parametrize(
    ("edit", "sent", "closed"),
    [
        (unchanged, b"", True),
        (unchanged, GREETING[:10], True),
        (without_inspector, b"", False),
        (without_inspector, GREETING[:10], False),
    ],
)
def test_a_caller_that_never_completes_its_greeting_is_disconnected(bed, edit, sent, closed):
    """With 0.2 s instead of 10."""

    def in_short(config):
        parts.listener(config)["listener_filters_timeout"] = "0.2s"
        edit(config)

    with bed(replicas=1, edit=in_short) as it, silent(it.gateway.port, sent) as caller:
        assert hung_up(caller[0], 10 if closed else 1) is closed
