"""The Envoy gateway: exposure, in-flight limits, and how it treats a replica."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from config.base import Calls, Cidr, Cores, DnsLabel, Image, MemoryMib, Port, Section, Share
from config.sizing.instances import Architecture
from config.versions import ENVOY_IMAGE

STORAGE_MIB = 64
"""Disk of the node that a gateway asks for, MiB: it writes nothing but its log."""

HEAP_SHARE = 0.75
"""Share of a gateway's memory that its heap may take before it sheds load."""


class ClusterOnly(Section):
    """Reachable inside the cluster only."""

    kind: Literal["cluster"] = "cluster"
    """A ClusterIP Service."""


class InternalLoadBalancer(Section):
    """Reachable from the VPC by an internal network load balancer."""

    kind: Literal["internalLoadBalancer"]
    """An internal NLB, made by the AWS Load Balancer Controller."""

    source_cidrs: tuple[Cidr, ...] = Field(min_length=1)
    """Address ranges that may connect; the NetworkPolicy lets them in."""

    subnet_cidrs: tuple[Cidr, ...] = Field(min_length=1)
    """Ranges of the balancer's subnets, from which it checks the gateways' readiness."""


class FleetLimit(Section):
    """In-flight limit that follows the fleet: so many streams per ready pod."""

    kind: Literal["fleet"] = "fleet"
    """Limit per ready pod."""

    share_of_deadline: Share = 0.64
    """Share of the deadline that a pod's admitted calls may take, queue included."""

    streams_per_pod: Calls | None = None
    """Streams that one gateway opens to one pod; derived from the share where unset."""

    max_pending_requests: Calls | None = None
    """Calls that one gateway holds for a free stream; derived from the deadline where unset."""


class StaticLimit(Section):
    """In-flight limit that is one number, whatever the fleet's size (the seed's breaker)."""

    kind: Literal["static"]
    """One number per gateway."""

    max_requests: Calls = 100
    """Calls in flight through one gateway."""

    max_pending_requests: Calls = 100
    """Calls that one gateway holds for a connection."""


class Retries(Section):
    """Retries of calls that no replica has begun to answer."""

    attempts: int = Field(default=5, ge=0, le=5)
    """Further tries of one call. A replica that is gone is idle, and so draws them as well, until
    enough of them have failed to eject it."""

    budget_percent: float = Field(default=20.0, ge=0, le=100)
    """Share of the active calls that may be retries."""

    min_concurrency: Calls | None = None
    """Retries that are always allowed at once; as many as one gateway has calls at one replica
    where unset, since all of them fail together with its connection."""


class HealthChecks(Section):
    """Active gRPC health checks (`grpc.health.v1`) of each replica."""

    interval_seconds: float = Field(default=2.0, ge=0.05, le=3600)
    """Time between two checks."""

    timeout_seconds: float = Field(default=1.0, ge=0.05, le=60)
    """When a check without an answer has failed."""

    unhealthy_threshold: int = Field(default=2, ge=1, le=100)
    """Checks without an answer until a replica gets no more calls; "not serving" counts at once."""

    healthy_threshold: int = Field(default=1, ge=1, le=100)
    """Good checks until it gets calls again."""


class Outliers(Section):
    """Ejection of a replica to which connections fail; an answer, whichever, never ejects."""

    removed: ClassVar[Mapping[str, str]] = {
        "consecutiveFailures": "answers do not eject a replica, and how many failed connections do "
        "is derived from the calls that one gateway sends to one replica"
    }

    interval_seconds: float = Field(default=5.0, ge=0.05, le=3600)
    """Time between two looks."""

    base_ejection_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    """First ejection's length; a good health check ends it sooner."""

    max_ejection_percent: int = Field(default=50, ge=0, le=100)
    """Share of the fleet that may be ejected."""


class Gateway(Section):
    """Envoy pods of one worker thread each, scaled by pods."""

    image: Image = ENVOY_IMAGE
    """Image; needs bash, with which the preStop hook drains over loopback."""

    architecture: Architecture | None = None
    """Architecture that the image is built for; nodes of any other are left out. Unset, the image
    is for all of them, as the official one is."""

    port: Port = 8080
    """Port of the Service and the listener."""

    ops_port: Port = 9902
    """Port of `/ready` and `/stats/prometheus`."""

    admin_port: Port = 9901
    """Port of Envoy's admin interface, on loopback."""

    replicas: int = Field(default=2, ge=1, le=1000)
    """Gateway pods; the in-flight budget of a replica is divided among them."""

    exposure: ClusterOnly | InternalLoadBalancer = Field(
        default=ClusterOnly(), discriminator="kind"
    )
    """Callers that can reach the Service."""

    client_namespaces: tuple[DnsLabel, ...] = ()
    """Namespaces whose pods may call, beside the stack's own."""

    in_flight: FleetLimit | StaticLimit = Field(default=FleetLimit(), discriminator="kind")
    """Limit on calls in flight."""

    max_concurrent_streams: Calls | None = None
    """Streams on one client connection; derived from the fleet's limit where unset."""

    stream_window_kib: int = Field(default=64, ge=64, le=1024 * 1024)
    """HTTP/2 flow-control window of one stream, KiB; at least one large tensor's piece."""

    retries: Retries = Retries()
    """Retry policy."""

    health_checks: HealthChecks = HealthChecks()
    """Active health checks."""

    outliers: Outliers = Outliers()
    """Outlier detection."""

    dns_ttl_seconds: float = Field(default=30.0, ge=1, le=3600)
    """TTL of the cluster's DNS answers, as its Corefile states (5 s to 30 s)."""

    dns_refresh_seconds: float = Field(default=2.0, ge=0.1, le=300)
    """Interval at which Envoy resolves the fleet's addresses."""

    dns_jitter_seconds: float = Field(default=0.2, ge=0, le=60)
    """Spread of the resolution, so that gateways do not ask at once."""

    endpoint_lag_seconds: float = Field(default=5.0, ge=1, le=3600)
    """Time for which the Service may still lead new connections to a stopping gateway."""

    cpu: Cores = 1.0
    """CPU request of one gateway, cores; one worker uses no more than one."""

    memory_mib: MemoryMib = 512
    """Memory request and limit of one gateway, MiB."""
