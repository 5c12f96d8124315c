"""A gateway at the end of its memory or of its connections: still observable, still truthful."""

import grpc
import pytest

from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.waiting import wait_until


def listener(config, name):
    (found,) = [x for x in config["static_resources"]["listeners"] if x["name"] == name]
    return found


def ops_within_the_overload_manager(config):
    del listener(config, "ops")["bypass_overload_manager"]


def without_overload_manager(config):
    del config["overload_manager"]


def with_a_tiny_heap(config):
    for monitor in config["overload_manager"]["resource_monitors"]:
        if monitor["name"].endswith("fixed_heap"):
            monitor["typed_config"]["max_heap_size_bytes"] = 1024 * 1024


@pytest.mark.parametrize(
    ("edit", "refused", "observable"),
    [
        (unchanged, True, True),
        (ops_within_the_overload_manager, True, False),
        (without_overload_manager, False, True),
    ],
)
def test_out_of_memory_it_refuses_calls_and_still_answers_probes(bed, edit, refused, observable):
    """One MiB is less than an idle Envoy needs."""

    def out_of_memory(config):
        with_a_tiny_heap(config)
        edit(config)

    with bed(replicas=1, edit=out_of_memory) as it, GrpcClient(it.gateway.port) as c:
        if refused:
            wait_until(
                "it is overloaded",
                lambda: it.gateway.stat(
                    "overload.envoy.overload_actions.stop_accepting_requests.active"
                ),
            )
        assert c.call().code.name == ("UNAVAILABLE" if refused else "OK")
        status, _ = it.gateway.get("/ready", port=it.stack.gateway.ops_port)
        assert (status == 200) is observable


def with_one_connection(config):
    for monitor in config["overload_manager"]["resource_monitors"]:
        if monitor["name"].endswith("global_downstream_max_connections"):
            monitor["typed_config"]["max_active_downstream_connections"] = 1


def with_ops_counted(config):
    with_one_connection(config)
    ops_within_the_overload_manager(config)


@pytest.mark.parametrize(
    ("edit", "observable"),
    [(with_one_connection, True), (with_ops_counted, False)],
)
def test_out_of_connections_it_still_answers_probes(bed, edit, observable):
    with bed(replicas=1, edit=edit) as it, GrpcClient(it.gateway.port) as client:
        with pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(GrpcClient(it.gateway.port).channel).result(1)
        assert client.call().code.name == "OK"
        try:
            answered = it.gateway.get("/ready", port=it.stack.gateway.ops_port)[0] == 200
        except OSError:
            answered = False
        assert answered is observable
