"""The Envoy gateway: exposure, in-flight limits, and its treatment of replicas."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from config.base import (
    Calls,
    Cidr,
    Cores,
    DnsLabel,
    HostName,
    Image,
    MemoryMib,
    Port,
    Section,
    Share,
    Tier,
)
from config.sections.gateway_callers import Callers
from config.sections.gateway_record import AccessLog, Tracing
from config.sections.gateway_tls import GatewayTls, NoTls
from config.sections.pods import PodOptions
from config.sizing.instances import Architecture
from config.versions import ENVOY_IMAGE

STORAGE_MIB = 64
"""Disk of a gateway, MiB: it writes nothing but its logs, of which kubelet keeps 50 MiB."""

HEAP_SHARE = 0.75
"""Share of a gateway's memory that its heap may take before it sheds load."""

SEPARATE_NODES = 2
"""Nodes that gateways wait for if they share none: one may fail."""


class ClusterOnly(Section):
    """A gateway that is reachable only inside the cluster."""

    namespace_labels: ClassVar[Mapping[str, str]] = {}
    """Labels that its namespace needs."""

    host_name: ClassVar[str | None] = None
    """Stable DNS name outside the cluster."""

    certificate_arn: ClassVar[str | None] = None
    """Certificate of a load balancer."""

    kind: Literal["cluster"] = "cluster"
    """A ClusterIP Service."""


class InternalLoadBalancer(Section):
    """A gateway that is reachable from the VPC through an internal network load balancer."""

    namespace_labels: ClassVar[Mapping[str, str]] = {
        "elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"
    }
    """Labels by which the controller's webhook adds a readiness gate to the gateways' pods: a pod
    is ready once the balancer has found it healthy."""

    kind: Literal["internalLoadBalancer"]
    """An internal NLB, created by the AWS Load Balancer Controller."""

    source_cidrs: tuple[Cidr, ...] = Field(min_length=1)
    """Ranges of IPv4 that may connect; the NetworkPolicy allows them."""

    subnet_cidrs: tuple[Cidr, ...] = Field(min_length=1)
    """Ranges of IPv4 of the balancer's subnets, from which it checks the gateways' readiness."""

    host_name: HostName | None = None
    """DNS name that external-dns creates for the balancer, and that the output `endpoint` states.
    It stays when the balancer, whose own name AWS generates, is replaced. Needs external-dns."""

    certificate_arn: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]{36}$"
    )
    """ACM certificate of `hostName`, with which the balancer ends TLS 1.2 or 1.3: callers of
    `endpoint` then use TLS, and between balancer and gateways calls stay in plain text. If unset,
    callers use plain text."""

    cross_zone: bool = True
    """True if each address of the balancer leads to the gateways of all zones. AWS charges for the
    data that crosses zones. If false, a client whose zone has one gateway uses that one alone."""


class FleetLimit(Section):
    """In-flight limit that follows the fleet: a number of streams for each ready pod."""

    kind: Literal["fleet"] = "fleet"
    """Limit per ready pod."""

    share_of_deadline: Share = 0.64
    """Largest share of the deadline that a pod's admitted calls may take, queue included."""

    streams_per_pod: Calls | None = None
    """Streams that one gateway opens to one pod. If unset, all gateways together open four for each
    call that a pod works on, or is scaled at, as far as the share allows."""

    max_pending_requests: Calls | None = None
    """Calls that one gateway holds for a free stream; derived from the deadline if unset."""


class StaticLimit(Section):
    """In-flight limit that is the same for every size of the fleet (the baseline's breaker)."""

    kind: Literal["static"]
    """One number per gateway."""

    max_requests: Calls = 100
    """Calls in flight through one gateway."""

    max_pending_requests: Calls = 100
    """Calls that one gateway holds for a connection."""


class Retries(Section):
    """Retries of calls that no replica has started to answer."""

    attempts: int = Field(default=5, ge=0, le=5)
    """Further attempts of one call. A dead replica is idle and so attracts them, too, until enough
    of them have failed to eject it."""

    budget_percent: float = Field(default=20.0, ge=0, le=100)
    """Share of the active calls that may be retries."""

    min_concurrency: Calls | None = None
    """Retries that are always allowed at once. If unset, the calls of one gateway at one replica,
    because all of them fail together with its connection."""


class HealthChecks(Section):
    """Active health checks of each replica.

    The watchdog answers them over HTTP. Where it is off, Triton does, over gRPC (`grpc.health.v1`).
    """

    interval_seconds: float = Field(default=0.5, ge=0.05, le=3600)
    """Time between two checks; a fifth of it for a replica that gets no calls."""

    timeout_seconds: float = Field(default=1.0, ge=0.05, le=60)
    """Time after which a check without an answer has failed."""

    unhealthy_threshold: int = Field(default=4, ge=1, le=100)
    """Unanswered checks until a replica gets no more calls; "not serving" counts at once."""

    healthy_threshold: int = Field(default=1, ge=1, le=100)
    """Successful checks until a replica gets calls again."""


class Outliers(Section):
    """Ejection of a replica to which connections fail; no answer ever ejects a replica."""

    removed: ClassVar[Mapping[str, str]] = {
        "consecutiveFailures": "answers do not eject a replica, and the number of failed "
        "connections that do is derived from the calls that one gateway sends to one replica"
    }

    interval_seconds: float = Field(default=5.0, ge=0.05, le=3600)
    """Time between two ejection sweeps."""

    base_ejection_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    """Length of the first ejection; a successful health check ends it sooner."""

    max_ejection_percent: int = Field(default=50, ge=0, le=100)
    """Share of the fleet that may be ejected."""


class Gateway(Section):
    """Envoy pods with one worker thread each; the number of pods scales them."""

    image: Image = ENVOY_IMAGE
    """Image of Envoy; it needs bash, with which the preStop hook drains over loopback."""

    architecture: Architecture | None = None
    """Architecture that the image is built for; gateways run only on nodes that have it. If unset,
    on all nodes: the official image supports every architecture."""

    port: Port = 8080
    """Port of the Service and the listener."""

    ops_port: Port = 9902
    """Port of `/ready` and `/stats/prometheus`."""

    admin_port: Port = 9901
    """Port of Envoy's admin interface, on loopback."""

    replicas: int = Field(default=2, ge=1, le=1000)
    """Gateway pods; the in-flight budget of a replica is divided among them."""

    separate_nodes: bool | None = None
    """True if a gateway waits for a node with fewer gateways, and the first two never share one.
    False if gateways share nodes where there is no room elsewhere. If unset, true only in tier
    `prod`."""

    exposure: ClusterOnly | InternalLoadBalancer = Field(
        default=ClusterOnly(), discriminator="kind"
    )
    """Callers that can reach the Service."""

    tls: GatewayTls = Field(default=NoTls(), discriminator="kind")
    """TLS at the gateway's port. Load balancers pass it through."""

    callers: Callers | None = None
    """Names of callers, their tokens and limits. If unset, calls have no name and need no token."""

    client_namespaces: tuple[DnsLabel, ...] = ()
    """Namespaces whose pods may call, beside the stack's own."""

    in_flight: FleetLimit | StaticLimit = Field(default=FleetLimit(), discriminator="kind")
    """Limit on calls in flight."""

    await_first_byte: bool = False
    """True if a call takes a place at a replica with the first byte of its body only: callers whose
    bodies never come then cost others no place. The wait adds about a quarter to a gateway's CPU
    for each call, refused ones included."""

    max_concurrent_streams: Calls | None = None
    """Streams on one client connection; derived from the fleet's limit if unset."""

    max_connection_seconds: float | None = Field(default=None, ge=10, le=7 * 24 * 3600)
    """Age, lengthened at random by up to a fifth, at which the gateway asks the client of a
    connection to open another one; calls on the old one end as usual. So gateways share the calls
    evenly again after a rollout. If unset, 900, or the longest call if that is longer."""

    stream_window_kib: int | None = Field(default=None, ge=64, le=1024 * 1024)
    """HTTP/2 flow-control window of one stream, KiB. If unset, a mean message of `traffic`, at
    least 64: a message takes one round trip for each window."""

    retries: Retries = Retries()
    """Retry policy."""

    health_checks: HealthChecks = HealthChecks()
    """Active health checks."""

    outliers: Outliers = Outliers()
    """Outlier detection."""

    dns_ttl_seconds: float = Field(default=30.0, ge=1, le=3600)
    """TTL of the cluster's DNS answers, as set in its Corefile (5 s to 30 s). Only without the
    watchdog a stopping replica waits for it."""

    dns_refresh_seconds: float = Field(default=2.0, ge=0.1, le=300)
    """Interval at which Envoy resolves the fleet's addresses."""

    dns_jitter_seconds: float = Field(default=0.2, ge=0, le=60)
    """Random spread of the resolution, so that gateways do not query at the same time."""

    endpoint_lag_seconds: float = Field(default=5.0, ge=1, le=3600)
    """Time for which the Service may still send new connections to a stopping gateway."""

    access_log: AccessLog | None = None
    """Access log. If unset, the gateway writes none."""

    tracing: Tracing | None = None
    """Traces by OpenTelemetry. If unset, the gateway sends none, and leaves callers' contexts as
    they are."""

    pods: PodOptions = PodOptions()
    """Placement, priority and metadata of the pods."""

    cpu: Cores = 1.0
    """CPU request of one gateway, cores; one worker uses no more than one."""

    memory_mib: MemoryMib = 512
    """Memory request and limit of one gateway, MiB."""

    def on_separate_nodes(self, tier: Tier) -> bool:
        """Return True if the first two gateways never share a node.

        Args:
            tier: Tier of the stack.
        """
        return tier == "prod" if self.separate_nodes is None else self.separate_nodes
