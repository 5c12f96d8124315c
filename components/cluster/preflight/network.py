"""The cluster's network: its IP family, and where its DNS answers."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from components.cluster import kubeconfig
from components.cluster.preflight.reader import ClusterReader, dig
from components.common.kubernetes_api import ApiUnreachableError
from config.problem import Problem
from config.sections.platform import NODE_LOCAL_DNS, LocalPlatform
from config.settings import Settings

_AUTO_MODE_DNS = 10
"""Host number of the cluster's DNS in EKS's service range."""

_SERVICES_PATH = "/api/v1/namespaces/kube-system/services"
_SLICES_PATH = (
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
    "?labelSelector=kubernetes.io/service-name%3D"
)
_KUBELETS = 3
"""Most nodes to ask: one may be about to end."""

_KUBELET_SECONDS = 3.0
"""Time limit for a kubelet's answer, which helps but is not required."""

_CACHES_PATH = (
    "/apis/apps/v1/namespaces/kube-system/daemonsets?labelSelector=k8s-app%3Dnode-local-dns"
)


def network(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse IPv6 clusters, and a DNS that the NetworkPolicies would cut off."""
    # By kind: the local cluster is IPv4, and its DNS is known.
    if isinstance(settings.platform, LocalPlatform):
        return
    path = "/api/v1/namespaces/default/services/kubernetes"
    service = reader.get(path, "the Service kubernetes in default (the cluster's IP family)")
    first = str(dig(service, "spec", "clusterIP") or "")
    if ":" in first:
        yield kubeconfig.problem(
            settings.platform,
            f"the cluster's Services have IPv6 addresses (the API server's is {first}): gateway, "
            "Triton and NetworkPolicies support only IPv4, and no gateway would get ready",
            "name a cluster whose first IP family is IPv4 (dual-stack with IPv4 first works)",
        )
        return
    needed = sorted(set(_resolvers(reader, first)))
    stated = [ip_network(cidr) for cidr in settings.platform.dns_addresses]
    cut_off = [a for a in needed if not any(ip_address(a) in network for network in stated)]
    if cut_off:
        change = [*settings.platform.dns_addresses, *cut_off]
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"platform.dnsAddresses": list(settings.platform.dns_addresses)},
            reason=(
                f"the cluster's DNS answers outside pods, at {', '.join(cut_off)}, where the "
                "NetworkPolicies block all pods: the gateways would find no replica"
            ),
            change={"platform.dnsAddresses": change},
        )


def _resolvers(reader: ClusterReader, api_server: str) -> Iterator[str]:
    """Yield the addresses of DNS servers outside pods, as far as the user can read them."""
    caches = reader.items(_CACHES_PATH, "DaemonSets in kube-system (NodeLocal DNSCache)") or ()
    for cache in caches:
        yield from _cache_addresses(cache["spec"]["template"]["spec"])
    services = reader.items(_SERVICES_PATH, "Services in kube-system (where DNS is)")
    if services is None:
        return
    by_address: dict[str, str] = {s["spec"]["clusterIP"]: s["metadata"]["name"] for s in services}
    asked = _asked_by_pods(reader) or [a for a, name in by_address.items() if name == "kube-dns"]
    if not asked and api_server and reader.api.serves("eks.amazonaws.com/v1", "nodeclasses"):
        # EKS Auto Mode runs CoreDNS on the nodes, and no Service leads there.
        asked = [str(ip_address(int(ip_address(api_server)) - 1 + _AUTO_MODE_DNS))]
    for address in asked:
        name = by_address.get(address)
        slices = reader.items(f"{_SLICES_PATH}{name}", "EndpointSlices") if name else []
        if slices is not None and not any(_has_pods(slice_) for slice_ in slices):
            yield address


def _asked_by_pods(reader: ClusterReader) -> list[str]:
    """Return the DNS addresses that a kubelet gives to its pods; empty if no kubelet answers.

    This needs permission to `get` `nodes/proxy`. Few users have it, so its lack leaves no note.
    """
    for node in (reader.items("/api/v1/nodes", "nodes") or ())[:_KUBELETS]:
        path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz"
        try:
            answer = reader.api.send("GET", path, timeout_seconds=_KUBELET_SECONDS)
        except ApiUnreachableError:
            continue
        if answer.status == 403:
            break
        if addresses := dig(answer.body, "kubeletconfig", "clusterDNS"):
            return addresses
    return []


def _cache_addresses(pod: dict[str, Any]) -> Iterator[str]:
    for container in pod["containers"]:
        arguments: list[str] = []
        for key in ("command", "args"):
            arguments += container.get(key) or ()
        for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
            name, _, inline = flag.partition("=")
            if name.lstrip("-") == "localip":
                yield from filter(None, (inline or value).split(","))
                return
    yield NODE_LOCAL_DNS


def _has_pods(slice_: dict[str, Any]) -> bool:
    endpoints: list[Any] = slice_.get("endpoints") or []
    return any(dig(endpoint, "targetRef", "kind") == "Pod" for endpoint in endpoints)
