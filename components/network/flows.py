"""Who may talk to whom: one table of flows, and the NetworkPolicies that follow from it.

Kubelet's probes are not in the table: they come from the pod's own node, which Kubernetes lets
through whatever the policies say. None of this proves that a cluster enforces policies at all: that
is its CNI's doing (on EKS the VPC CNI's network policy agent, off by default).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from components.common.labels import (
    PART_OF,
    PART_OF_LABEL,
    gateway_selector,
    prometheus_selector,
    triton_selector,
)
from components.common.pods import Manifest
from config.sections.gateway import InternalLoadBalancer
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus, Prometheus
from config.sections.triton import S3Repository

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Label that the API server itself puts on every namespace."""

DEFAULT_DENY: Manifest = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
"""Spec of the policy that closes a namespace; what the table allows opens it again, by workload."""

_DNS_NAMESPACE = "kube-system"
_DNS_PORT = 53
_HTTPS_PORT = 443
_API_SERVER_PORTS = (443, 6443)
"""Of kube-apiserver behind its Service: 443 on EKS, 6443 where kubeadm made the cluster."""

_POD_IDENTITY_AGENT = "169.254.170.23/32"
"""EKS Pod Identity Agent, on every node; it answers on port 80."""

_LINK_LOCAL = "169.254.0.0/16"
"""Where the node's instance metadata, and so the node's role, is to be had."""


@dataclass(frozen=True)
class Pods:
    """Pods of one namespace that have these labels; all its pods where there are none."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict[str, str])
    strangers: bool = False
    """Only those that are no part of the stack."""

    @property
    def selector(self) -> Manifest:
        """As a `podSelector`."""
        if self.strangers:
            ours = {"key": PART_OF_LABEL, "operator": "NotIn", "values": [PART_OF]}
            return {"matchExpressions": [ours]}
        return {"matchLabels": self.labels} if self.labels else {}


@dataclass(frozen=True)
class Addresses:
    """Addresses outside the cluster, or of its nodes."""

    cidr: str
    but_not: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """One kind of connection that the stack needs."""

    source: Pods | Addresses
    target: Pods | Addresses
    ports: tuple[int, ...]
    protocols: tuple[Literal["TCP", "UDP"], ...] = ("TCP",)


def gateway_pods(stack: InferenceStack) -> Pods:
    """A stack's gateway."""
    return Pods(stack.namespace, gateway_selector(stack))


def triton_pods(stack: InferenceStack) -> Pods:
    """A stack's Triton."""
    return Pods(stack.namespace, triton_selector(stack))


def neighbours(stack: InferenceStack) -> Pods:
    """Callers in the stack's own namespace; its default deny is theirs, too."""
    return Pods(stack.namespace, strangers=True)


def prometheus_pods(prometheus: Prometheus) -> Pods:
    """Who scrapes: our Prometheus, or any pod of the namespace in which another one runs."""
    if isinstance(prometheus, ManagedPrometheus):
        return Pods(prometheus.namespace, prometheus_selector(prometheus))
    return Pods(prometheus.namespace)


def stack_flows(
    stack: InferenceStack, prometheus: Prometheus, dns_addresses: Iterable[str] = ()
) -> list[Flow]:
    """Table of one inference stack.

    Args:
        stack: The inference stack.
        prometheus: What scrapes it.
        dns_addresses: Ranges of a DNS outside pods, which pods may ask beside that in pods.
    """
    resolvers = [Pods(_DNS_NAMESPACE), *map(Addresses, dns_addresses)]

    def dns(source: Pods) -> list[Flow]:
        return [Flow(source, resolver, (_DNS_PORT,), ("UDP", "TCP")) for resolver in resolvers]

    gateway, triton = gateway_pods(stack), triton_pods(stack)
    clients: list[Pods | Addresses] = [neighbours(stack)]
    clients += [Pods(namespace) for namespace in stack.gateway.client_namespaces]
    exposure = stack.gateway.exposure
    if isinstance(exposure, InternalLoadBalancer):
        clients += [Addresses(cidr) for cidr in exposure.source_cidrs]
    flows = [Flow(client, gateway, (stack.gateway.port,)) for client in clients]
    if isinstance(exposure, InternalLoadBalancer):
        flows += [
            Flow(Addresses(cidr), gateway, (stack.gateway.ops_port,))
            for cidr in exposure.subnet_cidrs
        ]
    flows += [Flow(gateway, triton, (stack.triton.grpc_port,)), *dns(gateway)]
    flows += dns(neighbours(stack))
    flows += scrape_flows(stack, prometheus)
    repository = stack.triton.model_repository
    if isinstance(repository, S3Repository):
        anywhere = Addresses("0.0.0.0/0", but_not=(_LINK_LOCAL,))
        flows += [*dns(triton), Flow(triton, anywhere, (_HTTPS_PORT,))]
        if repository.identity == "podIdentity":
            flows.append(Flow(triton, Addresses(_POD_IDENTITY_AGENT), (80,)))
    return flows


def scrape_flows(stack: InferenceStack, prometheus: Prometheus) -> list[Flow]:
    """Rows of both tables: the scrapes of one stack."""
    scraper = prometheus_pods(prometheus)
    return [
        Flow(scraper, gateway_pods(stack), (stack.gateway.ops_port,)),
        Flow(scraper, triton_pods(stack), (stack.triton.metrics_port,)),
    ]


def prometheus_flows(
    prometheus: ManagedPrometheus, stacks: Iterable[InferenceStack], keda_namespace: str
) -> list[Flow]:
    """Table of our own Prometheus; it needs no DNS."""
    pods = prometheus_pods(prometheus)
    api_server = Addresses("0.0.0.0/0", but_not=(_LINK_LOCAL,))
    return [
        Flow(Pods(keda_namespace), pods, (prometheus.port,)),
        Flow(pods, api_server, _API_SERVER_PORTS),
        *(flow for stack in stacks for flow in scrape_flows(stack, prometheus)),
    ]


def policy_spec(subject: Pods, flows: Iterable[Flow]) -> Manifest:
    """Spec of the one NetworkPolicy of a workload: the flows that end or begin at it."""
    rows = list(flows)
    rules = {
        "ingress": [
            {"from": [_peer(flow.source)], "ports": _ports(flow)}
            for flow in rows
            if flow.target == subject
        ],
        "egress": [
            {"to": [_peer(flow.target)], "ports": _ports(flow)}
            for flow in rows
            if flow.source == subject
        ],
    }
    return {
        "podSelector": subject.selector,
        "policyTypes": ["Ingress", "Egress"],
        # The API server keeps no empty list, so a stated one would always look like a change.
        **{direction: peers for direction, peers in rules.items() if peers},
    }


def _peer(peer: Pods | Addresses) -> Manifest:
    if isinstance(peer, Addresses):
        but_not = {"except": list(peer.but_not)} if peer.but_not else {}
        return {"ipBlock": {"cidr": peer.cidr, **but_not}}
    # Both in one element: pods with these labels in that namespace, not either.
    pods = {"podSelector": peer.selector} if peer.selector else {}
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: peer.namespace}}, **pods}


def _ports(flow: Flow) -> Manifest:
    return [
        {"protocol": protocol, "port": port} for protocol in flow.protocols for port in flow.ports
    ]
