"""The spread of one connection's calls over the replicas.

Calls take long enough for the one thread that plays all replicas to be idle most of the time: where
it is not, all replicas are equally slow.
"""

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import unchanged
from tests.envoy.harness.client import GrpcClient, codes


def most_loaded_to_mean(calls: list[int]) -> float:
    return max(calls) * len(calls) / sum(calls)


def test_equal_replicas_get_equal_shares_of_one_connections_calls(bed):
    with bed(replicas=5, service_seconds=0.05) as it, GrpcClient(it.gateway.port) as client:
        assert set(codes(client.calls(1500, window=15))) == {"OK"}
        assert it.gateway.downstream_stat("downstream_cx_total") == 1
        assert most_loaded_to_mean(it.fleet.calls) <= 1.1


def with_round_robin(config):
    policy = parts.cluster(config)["load_balancing_policy"]["policies"][0]
    policy["typed_extension_config"] = {
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3"
            ".RoundRobin"
        },
    }


@pytest.mark.parametrize(("edit", "spared"), [(unchanged, True), (with_round_robin, False)])
def test_a_slower_replica_gets_fewer_calls(bed, edit, spared):
    with (
        bed(replicas=4, service_seconds=0.05, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        slow = it.fleet.replicas[0]
        slow.service_seconds = 1
        assert set(codes(client.calls(600, window=16))) == {"OK"}
        mean = sum(it.fleet.calls) / 4
        assert (slow.calls < 0.6 * mean) is spared
