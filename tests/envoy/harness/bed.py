"""The whole bed: fake replicas, a name that leads to them, and the real gateway before them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loopback import local_bootstrap
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack
from tests.envoy.harness.backend import Fleet
from tests.envoy.harness.dns import HeadlessService
from tests.envoy.harness.gateway import LOOPBACK, Gateway
from tests.envoy.harness.waiting import free_ports, wait_until

Edit = Callable[[Json], None]


def unchanged(config: Json) -> None:
    """The bootstrap as it ships."""
    del config


@dataclass(frozen=True)
class Bed:
    """Objects that a test acts on."""

    stack: InferenceStack
    fleet: Fleet
    dns: HeadlessService
    gateway: Gateway


def local_stack(
    backend_port: int,
    health_port: int,
    *,
    streams_per_pod: int = 64,
    max_pending: int = 64,
    gateway: dict[str, Any] | None = None,
    traffic: dict[str, Any] | None = None,
    **sections: Any,
) -> InferenceStack:
    """A stack on free loopback ports, with everything that takes time made short."""
    port, ops_port, admin_port = free_ports(3)
    short = {
        "port": port,
        "opsPort": ops_port,
        "adminPort": admin_port,
        "replicas": 1,
        "dnsRefreshSeconds": 0.3,
        "dnsJitterSeconds": 0.01,
        "dnsTtlSeconds": 1,
        "healthChecks": {"intervalSeconds": 0.2, "timeoutSeconds": 2},
        "inFlight": {
            "kind": "fleet",
            "streamsPerPod": streams_per_pod,
            "maxPendingRequests": max_pending,
        },
    }
    return InferenceStack.model_validate(
        {
            "gateway": {**short, **(gateway or {})},
            "traffic": {"deadlineSeconds": 20, **(traffic or {})},
            "triton": {"grpcPort": backend_port, "watchdog": {"port": health_port}},
            **sections,
        }
    )


@contextmanager
def open_bed(
    folder: Path,
    *,
    replicas: int = 2,
    listed: int | None = None,
    service_seconds: float = 0.002,
    parallelism: int = 1000,
    ttl_seconds: int = 5,
    edit: Edit = unchanged,
    **stack: Any,
) -> Iterator[Bed]:
    """Start all of it and wait until the gateway sees every listed replica as healthy.

    Args:
        folder: For the bootstrap and Envoy's log.
        replicas: How many there are.
        listed: How many of them DNS knows at first; all where unset.
        service_seconds: Work of one call.
        parallelism: Calls that one replica works on at once.
        ttl_seconds: Of the DNS answers.
        edit: Changes the bootstrap, as a mutation.
        stack: See `local_stack`.
    """
    backend_port, health_port = free_ports(2, "0.0.0.0")
    (dns_port,) = free_ports(1)
    described = local_stack(backend_port, health_port, **stack)
    config = local_bootstrap(described, LOOPBACK, dns_port)
    edit(config)
    name = described.discovery_host
    with (
        Fleet(replicas, described, service_seconds, parallelism) as fleet,
        HeadlessService(name, dns_port, fleet.hosts[:listed], ttl_seconds) as dns,
        Gateway(described, config, folder) as gateway,
    ):
        expected = len(dns.hosts)
        wait_until("replicas are healthy", lambda: gateway.healthy_hosts() == expected)
        yield Bed(described, fleet, dns, gateway)


@contextmanager
def beside(bed: Bed, folder: Path, edit: Edit = unchanged) -> Iterator[Gateway]:
    """Start a second gateway of the same stack, on ports of its own.

    Args:
        bed: The first one, with its replicas.
        folder: For the bootstrap and Envoy's log.
        edit: Changes the bootstrap.
    """
    port, ops_port, admin_port = free_ports(3)
    ports = {"port": port, "ops_port": ops_port, "admin_port": admin_port}
    gateway = bed.stack.gateway.model_copy(update=ports)
    stack = bed.stack.model_copy(update={"gateway": gateway})
    config = local_bootstrap(stack, LOOPBACK, bed.dns.port)
    edit(config)
    with Gateway(stack, config, folder) as second:
        expected = len(bed.dns.hosts)
        wait_until("replicas are healthy", lambda: second.healthy_hosts() == expected)
        yield second
