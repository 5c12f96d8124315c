"""Preflight on a cluster's network, by answers as such clusters give them.

None of these clusters runs here; tests/integration/test_preflight_needs.py asks a real API server.
"""

import pytest

from components.cluster.preflight.network import network
from components.cluster.preflight.reader import ClusterReader
from config.settings import Settings
from tests.unit.preflight_api import Api

DNS = "10.43.0.10"


def found(api, **platform):
    at = {"kind": "kubeconfig", "path": "kubeconfig", **platform}
    reader = ClusterReader(api)
    problems = list(network(Settings.model_validate({"platform": at}), reader))
    assert list(reader.unreadable(Settings().platform)) == []
    return problems


def api_server(address):
    return {"/services/kubernetes": (200, {"spec": {"clusterIP": address}})}


@pytest.mark.parametrize(("address", "refused"), [("fd00::1", True), ("10.96.0.1", False)])
def test_a_cluster_whose_services_have_ipv6_addresses_is_refused(address, refused):
    problems = found(Api(api_server(address)))
    assert [problem.severity for problem in problems] == ["refuse"] * refused
    assert all("IPv6 addresses" in problem.reason for problem in problems)


def kubelet(*addresses):
    """An API server whose one node's kubelet gives these addresses to its pods."""
    answers = {
        **api_server("10.43.0.1"),
        "/nodes/one/proxy/configz": (200, {"kubeletconfig": {"clusterDNS": list(addresses)}}),
    }
    service = {"metadata": {"name": "rke2-coredns"}, "spec": {"clusterIP": DNS}}
    slices = [{"endpoints": [{"targetRef": {"kind": "Pod"}}]}]
    lists = {
        "/nodes": [{"metadata": {"name": "one"}}],
        "/services": [service],
        "service-name%3Drke2-coredns": slices,
    }
    return Api(answers, lists)


def test_dns_that_leads_to_pods_under_another_name_needs_no_address():
    """As RKE2 names it."""
    assert found(kubelet(DNS)) == []


def test_dns_on_the_node_that_no_object_shows_is_seen_by_a_kubelet():
    """As LocalDNS of AKS."""
    (problem,) = found(kubelet("169.254.10.11"))
    assert problem.change == {"platform.dnsAddresses": ["169.254.20.10/32", "169.254.10.11"]}
    assert found(kubelet("169.254.10.11"), dnsAddresses=["169.254.10.11"]) == []


def node_local_dns(*arguments):
    """An API server with NodeLocal DNSCache, whose kubelets answer nobody."""
    container = {"name": "node-cache", "args": list(arguments)}
    cache = {"spec": {"template": {"spec": {"containers": [container]}}}}
    lists = {"k8s-app%3Dnode-local-dns": [cache]}
    return Api(api_server("10.43.0.1"), lists)


def test_node_local_dns_at_its_usual_address_needs_no_parameter():
    assert found(node_local_dns("-localip", "169.254.20.10")) == []
    (problem,) = found(node_local_dns("-localip", "169.254.20.10"), dnsAddresses=[])
    assert "at 169.254.20.10" in problem.reason
    (problem,) = found(node_local_dns("-localip", "169.254.25.10"))
    assert "at 169.254.25.10" in problem.reason


def test_a_user_without_access_to_kubelets_gets_no_finding():
    """Few may, and nothing is known to be amiss."""
    api = kubelet()
    api.answers["/nodes/one/proxy/configz"] = (403, {})
    assert found(api) == []
