"""Checks that addresses can work, and that no secret appears in plain text."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit, urlunsplit

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse, text, warn
from config.sections.gateway import InternalLoadBalancer
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from config.sections.prometheus_access import SharedAccess, SigV4Access
from config.settings import Settings

_KEY = "prometheus.address"
_API_PATH = re.compile(r"/(api(/v1.*)?|graph|query|metrics)/?$")
"""End of an address with more than the base URL: KEDA itself appends `/api/v1/query`."""

_AMP = re.compile(
    r"aps-workspaces(-fips)?\.(?P<region>[a-z0-9-]+)\.(amazonaws\.com(\.cn)?|api\.aws)"
)
"""Host of Amazon Managed Service for Prometheus (AWS General Reference, service endpoints)."""

_SECRET_HEADERS = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)


@refuse
def prometheus_address(settings: Settings) -> Iterator[Finding]:
    """KEDA can send the scaler's query to the address, and the address contains no secret."""
    prometheus = settings.prometheus
    # By kind: this check is about an address and an authentication that the user states.
    if not isinstance(prometheus, ExistingPrometheus):
        return
    url = urlsplit(prometheus.address)
    keys: dict[str, object] = {_KEY: prometheus.address}
    if "@" in url.netloc:
        yield Finding(
            keys=keys,
            reason=(
                "the address contains a user or a password, which would be readable in the state, "
                "the ScaledObject and the stack's outputs"
            ),
            fix="put both into a Secret in KEDA's namespace, name the Secret under "
            "prometheus.authentication (kind: basic), and remove both from the address",
        )
    if url.query or url.fragment:
        yield Finding(
            keys=keys,
            reason=(
                "KEDA appends /api/v1/query to the address, and a `?` or `#` in the address makes "
                "that part of the query or the fragment"
            ),
            fix=f"set {_KEY} to {text(urlunsplit(url._replace(query='', fragment='')))}",
        )
    if match := _API_PATH.search(url.path):
        yield Finding(
            keys=keys,
            reason="KEDA appends /api/v1/query to the address, so it must be the base URL only",
            fix=f"set {_KEY} to "
            f"{text(urlunsplit(url._replace(path=url.path[: match.start()], query='')))}",
        )
    if why := _unreachable(url, prometheus.namespace, "KEDA", settings.keda.namespace):
        yield Finding(
            keys={**keys, "keda.namespace": settings.keda.namespace},
            reason=why,
            fix="name the Service with its namespace: http://<service>.<namespace>.svc:<port>",
        )


@refuse
def prometheus_matchers(settings: Settings) -> Iterator[Finding]:
    """No matcher states a label that the scaler's query states itself."""
    prometheus = settings.prometheus
    taken = {"cluster_name", prometheus.namespace_label} & prometheus.matchers.keys()
    if taken:
        yield Finding(
            keys={"prometheus.matchers": prometheus.matchers},
            reason=(
                f"the scaler's query itself matches {' and '.join(sorted(taken))}: with a second "
                "value it would find nothing"
            ),
            fix="remove it; prometheus.namespaceLabel names the label with the pod's namespace",
        )


@refuse
def alertmanager_address(settings: Settings) -> Iterator[Finding]:
    """The managed Prometheus can send alerts to the Alertmanager."""
    prometheus = settings.prometheus
    # By kind: an existing Prometheus has its own Alertmanager.
    if not isinstance(prometheus, ManagedPrometheus) or not prometheus.alertmanager:
        return
    target = prometheus.alertmanager
    for url in target.urls:
        if why := _unreachable(url, target.namespace, "Prometheus", prometheus.namespace):
            yield Finding(
                keys={"prometheus.alertmanager.addresses": list(target.addresses)},
                reason=why,
                fix="name each Service with its namespace: http://<service>.<namespace>.svc:<port>",
            )


@refuse
def prometheus_access(settings: Settings) -> Iterator[Finding]:
    """The authentication fits the address, and no header in plain text holds a secret."""
    prometheus = settings.prometheus
    # By kind: this check is about an address and an authentication that the user states.
    if not isinstance(prometheus, ExistingPrometheus):
        return
    url, access = urlsplit(prometheus.address), prometheus.authentication
    kind = access.kind
    keys: dict[str, object] = {
        _KEY: prometheus.address,
        "prometheus.authentication.kind": kind,
    }
    amp = _AMP.fullmatch(url.hostname or "")
    if amp and not isinstance(access, SigV4Access | SharedAccess):
        yield Finding(
            keys=keys,
            reason="Amazon Managed Service for Prometheus accepts only signed requests",
            change={"prometheus.authentication": {"kind": "awsSigV4", "region": amp["region"]}},
        )
    if amp and isinstance(access, SigV4Access) and access.region != amp["region"]:
        yield Finding(
            keys={**keys, "prometheus.authentication.region": access.region},
            reason=f"the workspace is in {amp['region']}: a signature for another region fails",
            change={"prometheus.authentication.region": amp["region"]},
        )
    if amp and "/workspaces/" not in url.path:
        yield Finding(
            keys=keys,
            reason="the address does not name a workspace",
            fix="end it with /workspaces/<workspace id>",
        )
    if url.scheme == "http" and kind in ("tls", "awsSigV4"):
        yield Finding(
            keys=keys,
            reason=f"{kind} needs an encrypted connection",
            fix="begin the address with https://",
        )
    secret = [name for name in prometheus.headers if _SECRET_HEADERS.search(name)]
    if secret:
        yield Finding(
            keys={"prometheus.headers": f"(the value of {', '.join(secret)})"},
            reason="headers appear in plain text in the state and in the ScaledObject",
            fix="put the value into a Secret in KEDA's namespace, and name the Secret under "
            "prometheus.authentication (kind: bearer or header)",
        )


@refuse
def balancer_addresses(settings: Settings) -> Iterator[Finding]:
    """All ranges at the load balancer are of IPv4, as its addresses are.

    Without the annotation `aws-load-balancer-ip-address-type` a balancer is an IPv4 one (AWS Load
    Balancer Controller, "Service annotations"), and the controller refuses its Service for "v6
    cidr %v when lb is not dualstack" (`pkg/service/model_build_managed_sg.go`,
    `buildCIDRsFromSourceRanges`).
    """
    for at in stacks(settings):
        exposure = at.stack.gateway.exposure
        # By kind: only a load balancer has ranges.
        if not isinstance(exposure, InternalLoadBalancer):
            continue
        for name, stated, effect in (
            (
                "sourceCidrs",
                exposure.source_cidrs,
                "its controller refuses the whole Service, and `up` waits for a balancer in vain",
            ),
            (
                "subnetCidrs",
                exposure.subnet_cidrs,
                "no health check comes from there, and the NetworkPolicy allows it to no purpose",
            ),
        ):
            key = at.key(f"gateway.exposure.{name}")
            kept = [cidr for cidr in stated if ":" not in cidr]
            if len(kept) == len(stated):
                continue
            yield Finding(
                keys={key: list(stated)},
                reason=(
                    f"the load balancer has addresses of IPv4 alone: with a range of IPv6 {effect}"
                ),
                fix="" if kept else f"state the ranges of IPv4 in {key}",
                change={key: kept} if kept else {},
            )


@warn
def prometheus_plain_text(settings: Settings) -> Iterator[Finding]:
    """KEDA sends a token or a password encrypted."""
    prometheus = settings.prometheus
    # By kind: this check is about an address and an authentication that the user states.
    if not isinstance(prometheus, ExistingPrometheus):
        return
    kind = prometheus.authentication.kind
    if urlsplit(prometheus.address).scheme == "http" and kind in ("bearer", "basic", "header"):
        yield Finding(
            keys={
                _KEY: prometheus.address,
                "prometheus.authentication.kind": kind,
            },
            reason="KEDA would send the secret in clear text",
            fix="serve Prometheus over TLS, and begin the address with https://",
        )


def _unreachable(url: SplitResult, server_namespace: str, client: str, namespace: str) -> str:
    """Return the reason why a client's pods cannot reach a host; empty if they may reach it.

    Args:
        url: Address of the server.
        server_namespace: Namespace of the server's pods.
        client: Name of the client in messages.
        namespace: Namespace of the client's pods.
    """
    host = url.hostname or ""
    try:
        port: int | None = url.port if url.port is not None else 1
    except ValueError:
        port = None
    if not port:
        return "the port is not valid"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (
        address and (address.is_loopback or address.is_unspecified or address.is_link_local)
    ):
        return f"in {client}'s pods {host} is the pod itself, or nothing"
    if not address and "." not in host and namespace != server_namespace:
        return f"{client}'s pods look up the name {host} in their own namespace {namespace}"
    if not address and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?", host):
        return f"{host} is not a host name"
    return ""
