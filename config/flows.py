"""The connections that the parts need, as data; `components.network.policies` allows them.

Kubelet's probes are not in the tables: they come from the pod's own node, and Kubernetes always
allows them. The tables do not prove that a cluster enforces policies: its CNI does that (on EKS the
network policy agent of the VPC CNI, off by default).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from config.sections.gateway import InternalLoadBalancer
from config.sections.gateway_callers import RemoteJwks
from config.sections.inference import InferenceStack
from config.sections.keda import Keda
from config.sections.prometheus import ManagedPrometheus, Prometheus
from config.sections.triton import S3Repository
from config.selectors import (
    gateway_selector,
    prometheus_selector,
    triton_selector,
    warm_spare_selector,
)

_DNS_NAMESPACE = "kube-system"
_DNS_PORT = 53
_HTTPS_PORT = 443
_API_SERVER_PORTS = (443, 6443)
"""Ports of kube-apiserver behind its Service: 443 on EKS, 6443 on a cluster made by kubeadm."""

_POD_IDENTITY_AGENT = "169.254.170.23/32"
"""EKS Pod Identity Agent, on every node; it answers on port 80."""

_LINK_LOCAL = "169.254.0.0/16"
"""Range of the node's instance metadata, which gives access to the node's role."""


@dataclass(frozen=True)
class Pods:
    """Pods of one namespace that have these labels; all its pods where there are none."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict[str, str], hash=False)
    other_pods: bool = False
    """True to select only the pods that are not part of the stack."""


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
    """Select the pods of a stack's gateway."""
    return Pods(stack.namespace, gateway_selector(stack))


def triton_pods(stack: InferenceStack) -> Pods:
    """Select the pods of a stack's Triton."""
    return Pods(stack.namespace, triton_selector(stack))


def spare_pods(stack: InferenceStack) -> Pods:
    """Select a stack's placeholders, which have no connections."""
    return Pods(stack.namespace, warm_spare_selector(stack))


def namespace_callers(stack: InferenceStack) -> Pods:
    """Select the callers in the stack's own namespace; its default deny applies to them, too."""
    return Pods(stack.namespace, other_pods=True)


def prometheus_pods(prometheus: Prometheus) -> Pods:
    """Select the pods that scrape: the stack's Prometheus, or the namespace of an existing one."""
    # By kind here: a section imports neither pods nor selectors.
    if isinstance(prometheus, ManagedPrometheus):
        return Pods(prometheus.namespace, prometheus_selector(prometheus))
    return Pods(prometheus.namespace)


def gateway_flows(
    stack: InferenceStack, prometheus: Prometheus, dns_addresses: Iterable[str] = ()
) -> list[Flow]:
    """List the connections of a stack's gateway, and of the callers in its namespace.

    Args:
        stack: The inference stack.
        prometheus: The Prometheus that scrapes it.
        dns_addresses: Ranges of a DNS outside pods, which pods may query beside the one in pods.
    """
    gateway, callers, dns = gateway_pods(stack), namespace_callers(stack), [*dns_addresses]
    clients: list[Pods | Addresses] = [callers]
    clients += [Pods(namespace) for namespace in stack.gateway.client_namespaces]
    exposure = stack.gateway.exposure
    # By kind here and below: a section imports no flows.
    if isinstance(exposure, InternalLoadBalancer):
        clients += [Addresses(cidr) for cidr in exposure.source_cidrs]
    flows = [Flow(client, gateway, (stack.gateway.port,)) for client in clients]
    if isinstance(exposure, InternalLoadBalancer):
        flows += [
            Flow(Addresses(cidr), gateway, (stack.gateway.ops_port,))
            for cidr in exposure.subnet_cidrs
        ]
    watchdog = stack.triton.watchdog
    checked = (watchdog.port,) if watchdog.enabled else ()
    flows.append(Flow(gateway, triton_pods(stack), (stack.triton.grpc_port, *checked)))
    flows += [*_dns(gateway, dns), *_dns(callers, dns)]
    flows += [
        Flow(gateway, Addresses(cidr), (issuer.jwks.port,))
        for issuer in stack.token_issuers
        if isinstance(issuer.jwks, RemoteJwks)
        for cidr in issuer.jwks.cidrs
    ]
    if tracing := stack.gateway.tracing:
        pods = [Pods(tracing.collector_namespace)] if tracing.collector_namespace else []
        collectors = [*pods, *map(Addresses, tracing.collector_cidrs)]
        flows += [Flow(gateway, collector, (tracing.port,)) for collector in collectors]
    return [*flows, _gateway_scrape(stack, prometheus)]


def triton_flows(
    stack: InferenceStack, prometheus: Prometheus, dns_addresses: Iterable[str] = ()
) -> list[Flow]:
    """List the connections of a stack's Triton, without those from the gateway.

    Args:
        stack: The inference stack.
        prometheus: The Prometheus that scrapes it.
        dns_addresses: Ranges of a DNS outside pods.
    """
    triton, repository = triton_pods(stack), stack.triton.model_repository
    flows = [_triton_scrape(stack, prometheus)]
    # By kind: a section imports no flows.
    if isinstance(repository, S3Repository):
        anywhere = Addresses("0.0.0.0/0", but_not=(_LINK_LOCAL,))
        flows += [*_dns(triton, dns_addresses), Flow(triton, anywhere, (_HTTPS_PORT,))]
        if repository.identity == "podIdentity":
            flows.append(Flow(triton, Addresses(_POD_IDENTITY_AGENT), (80,)))
    return flows


def prometheus_flows(
    prometheus: ManagedPrometheus,
    stacks: Iterable[InferenceStack],
    keda: Keda,
    dns_addresses: Iterable[str] = (),
) -> list[Flow]:
    """List the connections of the stack's own Prometheus.

    It finds its targets by address, and needs DNS for the Alertmanager alone.

    Args:
        prometheus: The stack's own Prometheus.
        stacks: The inference stacks that it scrapes.
        keda: Its client KEDA, which it scrapes if the stack installs it.
        dns_addresses: Ranges of a DNS outside pods.
    """
    pods = prometheus_pods(prometheus)
    api_server = Addresses("0.0.0.0/0", but_not=(_LINK_LOCAL,))
    flows = [
        Flow(Pods(keda.namespace), pods, (prometheus.port,)),
        Flow(pods, api_server, _API_SERVER_PORTS),
    ]
    for stack in stacks:
        flows += [_gateway_scrape(stack, prometheus), _triton_scrape(stack, prometheus)]
    if keda.metrics_port:
        flows.append(Flow(pods, Pods(keda.namespace), (keda.metrics_port,)))
    if alerts := prometheus.alertmanager:
        flows += [
            *_dns(pods, dns_addresses),
            Flow(pods, Pods(alerts.namespace), tuple(alerts.ports)),
        ]
    return flows


def joined(own: Iterable[Flow], others: Iterable[Flow]) -> list[Flow]:
    """Return a part's own connections, then those of others without duplicates."""
    first = list(own)
    known = set(first)
    return [*first, *(flow for flow in others if flow not in known)]


def by_namespace(flows: Iterable[Flow]) -> dict[str, list[Flow]]:
    """Group connections by namespace; one between the pods of two namespaces is in both groups.

    A stack reads its own group, so that the time of a program does not grow with the square of
    the number of its stacks.
    """
    groups: defaultdict[str, list[Flow]] = defaultdict(list)
    for flow in flows:
        # By kind: addresses are in no namespace.
        ends = [end.namespace for end in (flow.source, flow.target) if isinstance(end, Pods)]
        for namespace in dict.fromkeys(ends):
            groups[namespace].append(flow)
    return dict(groups)


def _dns(source: Pods, addresses: Iterable[str]) -> list[Flow]:
    resolvers = [Pods(_DNS_NAMESPACE), *map(Addresses, addresses)]
    return [Flow(source, resolver, (_DNS_PORT,), ("UDP", "TCP")) for resolver in resolvers]


def _gateway_scrape(stack: InferenceStack, prometheus: Prometheus) -> Flow:
    return Flow(prometheus_pods(prometheus), gateway_pods(stack), (stack.gateway.ops_port,))


def _triton_scrape(stack: InferenceStack, prometheus: Prometheus) -> Flow:
    return Flow(prometheus_pods(prometheus), triton_pods(stack), (stack.triton.metrics_port,))
