"""Connections that the declared policies refuse, and proof that the judge would see them.

As in `test_network_policies.py`, it does not prove that a CNI enforces policies at all.
"""

import pytest

from tests.policy_semantics import End, World
from tests.unit.policy_cluster import (
    API_SERVER,
    CLIENT,
    DNS,
    INSTANCE_METADATA,
    KEDA,
    LOAD_BALANCER,
    NEIGHBOUR,
    OTHER_PROMETHEUS,
    POD_IDENTITY_AGENT,
    S3,
    S3_ADDRESS,
    STRANGER,
    cluster,
)


def test_nobody_reaches_triton_past_the_gateway():
    c = cluster()
    for port in (8000, 8001, 8002):
        for end in (CLIENT, NEIGHBOUR, STRANGER, KEDA, LOAD_BALANCER):
            assert not c.allows(end, c.triton, port), (end, port)
    assert not c.allows(c.gateway, c.triton, 8000)
    assert not c.allows(c.prometheus, c.triton, 8001)


def test_triton_reaches_nothing_where_it_has_its_models():
    c = cluster()
    for end in (S3_ADDRESS, POD_IDENTITY_AGENT, INSTANCE_METADATA, API_SERVER):
        for port in (80, 443, 6443):
            assert not c.allows(c.triton, end, port), (end, port)
    assert not c.allows(c.triton, DNS, 53, "UDP")
    assert not c.allows(c.triton, c.gateway, 8080)
    assert not c.allows(c.triton, c.triton, 8001)


def test_nobody_reaches_the_nodes_own_role():
    c = cluster(triton={"modelRepository": S3})
    for source in (c.triton, c.gateway, c.prometheus):
        for port in (80, 443):
            assert not c.allows(source, INSTANCE_METADATA, port), (source, port)


def test_an_irsa_pod_has_no_use_for_the_pod_identity_agent():
    c = cluster(triton={"modelRepository": {**S3, "identity": "irsa"}})
    assert c.allows(c.triton, S3_ADDRESS, 443)
    assert not c.allows(c.triton, POD_IDENTITY_AGENT, 80)


def test_nobody_reaches_the_gateways_admin_port():
    c = cluster()
    assert "admin" not in c.ports["gateway"]
    for end in (CLIENT, NEIGHBOUR, STRANGER, KEDA, c.prometheus, c.triton, OTHER_PROMETHEUS):
        assert not c.allows(end, c.gateway, 9901), end


def test_a_namespace_that_is_not_named_may_not_call():
    c = cluster()
    assert not c.allows(STRANGER, c.gateway, 8080)
    assert not c.allows(STRANGER, c.prometheus, 9090)
    assert not cluster(gateway={}).allows(CLIENT, c.gateway, 8080)


def test_clients_may_not_read_the_statistics():
    c = cluster()
    for end in (CLIENT, NEIGHBOUR):
        assert not c.allows(end, c.gateway, 9902), end
        assert not c.allows(end, c.prometheus, 9090), end


def test_gateway_reaches_neither_the_internet_nor_the_api_server():
    c = cluster()
    for end in (S3_ADDRESS, API_SERVER):
        for port in (80, 443, 6443):
            assert not c.allows(c.gateway, end, port), (end, port)


def test_pods_that_only_claim_to_be_prometheus_elsewhere_may_not_scrape():
    c = cluster()
    impostor = End("10.0.200.9", "default", c.prometheus.labels)
    assert not c.allows(impostor, c.gateway, 9902)


def test_two_stacks_in_one_namespace_do_not_reach_each_other():
    """The policies of one name the pods of one."""
    one, two = cluster(namePrefix="a-"), cluster(namePrefix="b-")
    both = World([*one.world.policies, *two.world.policies], one.world.namespaces)
    assert both.allows(one.gateway, one.triton, 8001)
    assert not both.allows(one.gateway, two.triton, 8001)
    assert not both.allows(one.gateway, two.gateway, 8080)


# The judge itself


@pytest.mark.parametrize(
    ("taken", "flow"),
    [
        ("envoy-gateway", lambda c: (CLIENT, c.gateway, 8080)),
        ("triton-inference-deployment", lambda c: (c.gateway, c.triton, 8001)),
        ("prometheus-server", lambda c: (c.prometheus, c.triton, 8002)),
        ("envoy-gateway-callers", lambda c: (NEIGHBOUR, c.gateway, 8080)),
    ],
)
def test_without_its_policy_a_flow_is_denied(taken, flow):
    c = cluster()
    rest = [p for p in c.world.policies if p["metadata"]["name"] != taken]
    assert len(rest) == len(c.world.policies) - 1
    assert c.allows(*flow(c))
    assert not World(rest, c.world.namespaces).allows(*flow(c))


def test_without_the_default_deny_everything_is_allowed():
    c = cluster()
    assert World([], c.world.namespaces).allows(STRANGER, c.triton, 8001)
