"""Every flow that the stack needs passes the declared policies, kubelet's probes among them.

Judged by what is declared: the pods' labels and ports are those of the Deployments. It does not
prove that a cluster's CNI enforces policies at all, or that a pod listens where it is probed: that
is for the tests with real processes.
"""

import pytest

from config.sections.keda import METRICS_PORT
from tests.policy_semantics import End
from tests.unit.policy_cluster import (
    API_SERVER,
    CLIENT,
    CLIENTS,
    DNS,
    EXISTING,
    KEDA,
    LOAD_BALANCER,
    NEIGHBOUR,
    NODE,
    OTHER_NODE,
    OTHER_PROMETHEUS,
    POD_IDENTITY_AGENT,
    S3,
    S3_ADDRESS,
    cluster,
)


@pytest.mark.parametrize("client", [CLIENT, NEIGHBOUR], ids=["named namespace", "own namespace"])
def test_clients_reach_the_gateway_and_dns(client):
    c = cluster()
    assert c.allows(client, c.gateway, 8080)
    assert c.allows(client, DNS, 53, "UDP")


def test_gateway_reaches_triton_on_its_own_grpc_port_and_dns():
    c = cluster()
    assert c.allows(c.gateway, c.triton, c.ports["triton"]["grpc"])
    for protocol in ("UDP", "TCP"):
        assert c.allows(c.gateway, DNS, 53, protocol)


@pytest.mark.parametrize("address", ["169.254.20.10", "172.20.0.10", "fd00::a"])
def test_dns_outside_pods_is_reached_where_the_parameters_name_it(address):
    """NodeLocal DNSCache, and EKS Auto Mode's DNS on the node."""
    resolver = End(address)
    named = cluster(dns_addresses=(address,), triton={"modelRepository": S3})
    unnamed = cluster(triton={"modelRepository": S3})
    for protocol in ("UDP", "TCP"):
        for pod in (named.gateway, named.triton, NEIGHBOUR):
            assert named.allows(pod, resolver, 53, protocol)
            assert named.allows(pod, DNS, 53, protocol)
            assert not unnamed.allows(pod, resolver, 53, protocol)
    assert not named.allows(named.gateway, resolver, 443)


def test_our_prometheus_scrapes_discovers_and_answers_keda():
    c = cluster()
    assert c.allows(c.prometheus, c.gateway, c.ports["gateway"]["ops"])
    assert c.allows(c.prometheus, c.triton, c.ports["triton"]["metrics"])
    assert c.allows(c.prometheus, API_SERVER, 443)
    assert c.allows(c.prometheus, API_SERVER, 6443)
    assert c.allows(KEDA, c.prometheus, c.ports["prometheus"]["http"])


def test_our_prometheus_scrapes_the_operator_of_a_keda_that_the_stack_installs():
    installed = cluster(keda={"kind": "helm"})
    assert installed.allows(installed.prometheus, KEDA, METRICS_PORT)
    assert not cluster().allows(cluster().prometheus, KEDA, METRICS_PORT)


def test_our_prometheus_reaches_the_alertmanager_that_the_parameters_name():
    alerts = End("10.0.9.9", "monitoring", {"app": "alertmanager"})
    alertmanager = {"addresses": ["http://alerts.monitoring.svc:9093"], "namespace": "monitoring"}
    named = cluster(prometheus={"kind": "managed", "alertmanager": alertmanager})
    assert named.allows(named.prometheus, alerts, 9093)
    assert not named.allows(named.prometheus, alerts, 9094)
    for protocol in ("UDP", "TCP"):
        assert named.allows(named.prometheus, DNS, 53, protocol)
    unnamed = cluster()
    assert not unnamed.allows(unnamed.prometheus, alerts, 9093)
    assert not unnamed.allows(unnamed.prometheus, DNS, 53, "UDP")


def test_an_existing_prometheus_scrapes():
    c = cluster(prometheus=EXISTING)
    assert c.allows(OTHER_PROMETHEUS, c.gateway, c.ports["gateway"]["ops"])
    assert c.allows(OTHER_PROMETHEUS, c.triton, c.ports["triton"]["metrics"])


def test_flows_follow_changed_ports():
    gateway = {"port": 8443, "opsPort": 9999, "clientNamespaces": [CLIENTS]}
    c = cluster(gateway=gateway, triton={"grpcPort": 9001, "metricsPort": 9003})
    assert c.allows(CLIENT, c.gateway, 8443)
    assert c.allows(c.gateway, c.triton, 9001)
    assert c.allows(c.prometheus, c.gateway, 9999)
    assert c.allows(c.prometheus, c.triton, 9003)
    assert not c.allows(c.gateway, c.triton, 8001)


@pytest.mark.parametrize(
    "stack",
    [
        {},
        {"gateway": {"opsPort": 9999}, "triton": {"httpPort": 9005}},
        {"triton": {"modelRepository": S3}},
    ],
    ids=["as they are", "other ports", "models in S3"],
)
def test_kubelet_reaches_every_probe_from_the_pods_own_node_and_no_other_node_does(stack):
    """Each probe knocks at a port that its pod declares; a port that is misnamed fails here."""
    c = cluster(**stack)
    pods = {"gateway": c.gateway, "triton": c.triton, "prometheus": c.prometheus}
    assert c.probed.keys() == pods.keys()
    for role, pod in pods.items():
        assert len(c.probed[role]) >= 2, role
        for probed in c.probed[role]:
            port = c.ports[role][probed] if isinstance(probed, str) else probed
            assert port in c.ports[role].values(), (role, probed)
            assert c.allows(NODE, pod, port), (role, port)
            assert not c.allows(OTHER_NODE, pod, port), (role, port)


def test_models_in_s3_can_be_read_with_the_pods_identity():
    c = cluster(triton={"modelRepository": S3})
    assert c.allows(c.triton, DNS, 53, "UDP")
    assert c.allows(c.triton, S3_ADDRESS, 443)
    assert c.allows(c.triton, POD_IDENTITY_AGENT, 80)


def test_an_internal_load_balancer_lets_its_ranges_in():
    exposure = {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.1.0.0/16"],
        "subnetCidrs": ["10.3.0.0/24"],
    }
    c = cluster(gateway={"exposure": exposure})
    assert c.allows(LOAD_BALANCER, c.gateway, 8080)
    assert not c.allows(LOAD_BALANCER, c.gateway, 9902)
    assert not c.allows(End("10.2.0.1"), c.gateway, 8080)
    # The balancer's own health checks, of readiness alone.
    assert c.allows(End("10.3.0.9"), c.gateway, 9902)
    assert not c.allows(End("10.3.0.9"), c.gateway, 8080)
