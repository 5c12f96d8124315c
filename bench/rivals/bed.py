"""Stand-in replicas, and a client as an orchestrator writes it, of the bed's Go program.

Nothing but loopback is used. The replicas work as Triton does with one model of several instances:
a number of calls at once, and the others in a queue, of which cancelled calls are skipped.
"""

import json
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from config.sections.inference import InferenceStack
from local_cluster import toolchain
from ops.errors import OpsError

_TOOL = "grpc-bed"
_FIRST = (127, 0, 32, 1)

HOST = "127.0.33.1"
"""Loopback address of gateways and of the DNS server, whose ports nothing else uses."""

DNS_PORT = 8053
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02

_NO_TIME_SECONDS = 0.001

DEADLINE_SECONDS = 2.0
"""Deadline of every call, as in the baseline's configuration."""

CONNECTIONS = 1
"""Connections of the burst: a grpc-go client opens one to a name, and a Service has one address."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Description of the replicas."""

    replicas: int = 20
    ready: int = 20
    """Replicas that are ready at first."""
    slots: int = 16
    """Calls that a replica works on at once."""
    service_seconds: float = 0.05
    vary: float = 0
    """Largest difference of a call's time from the service time, as a share of it."""
    response_bytes: int = 64
    slow: int | None = None
    """Number of a replica that takes ten times as long."""

    @property
    def replica_rps(self) -> float:
        """Calls per second that one replica can answer; of no meaning for no service time."""
        return self.slots / max(self.service_seconds, _NO_TIME_SECONDS)

    @property
    def capacity(self) -> float:
        """Calls per second that all replicas can answer."""
        return self.replicas * self.replica_rps


@dataclass(frozen=True)
class Bed:
    """Running replicas."""

    fleet: Fleet
    process: "subprocess.Popen[str]"
    grpc_port: int
    ready_name: str
    """DNS name of the ready replicas, as of a headless Service."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Addresses of all replicas."""
        *net, first = _FIRST
        return tuple(".".join(map(str, (*net, first + n))) for n in range(self.fleet.replicas))

    @property
    def targets(self) -> tuple[str, ...]:
        """`host:port` of all replicas."""
        return tuple(f"{host}:{self.grpc_port}" for host in self.hosts)

    def order(self, **order: int) -> dict[str, list[int]]:
        """Give the replicas an order, and return their counts so far.

        Args:
            order: `ready`: number of replicas that are ready from now on.
        """
        orders, answers = self.process.stdin, self.process.stdout
        if orders is None or answers is None:
            raise OpsError("the replicas take no orders")
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        answer = answers.readline()
        if not answer:
            raise OpsError("the replicas have ended")
        return json.loads(answer)


def program() -> str:
    """Return the path of the bed's program; build it once."""
    return str(toolchain.ensure(_TOOL)[_TOOL])


@contextmanager
def running(fleet: Fleet, stack: InferenceStack) -> Generator[Bed]:
    """Start replicas, and end them afterwards.

    Args:
        fleet: The replicas.
        stack: Stack of which the DNS names and ports are taken.
    """
    ports = stack.triton.grpc_port, stack.triton.watchdog.port
    words = [program(), "serve", "-first", ".".join(map(str, _FIRST))]
    words += ["-replicas", fleet.replicas, "-ready", fleet.ready, "-slots", fleet.slots]
    words += ["-service", f"{fleet.service_seconds}s", "-response-bytes", fleet.response_bytes]
    words += ["-vary", fleet.vary]
    words += ["-port", ports[0], "-health-port", ports[1], "-dns", f"{HOST}:{DNS_PORT}"]
    words += ["-all", stack.discovery_host]
    words += [] if fleet.slow is None else ["-slow", fleet.slow]
    with subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        bed = Bed(fleet, process, ports[0], stack.service_host)
        try:
            bed.order()
            yield bed
        finally:
            process.kill()


def call(
    target: str,
    *,
    options: Mapping[str, str] | None = None,
    **load: float | str,
) -> "subprocess.Popen[str]":
    """Start the client; it prints its account when the load has ended.

    Args:
        target: Address of a gateway, or `dns://` URI of replicas that it calls in turn; several
            with commas between them, which the connections take in turn.
        options: Further options, such as those for TLS.
        load: `calls` (all at once), `window` (in flight) or `rate` (per second), and `duration`;
            `connections`, and `request_bytes`, the size of a request.
    """
    usual = {"deadline": f"{DEADLINE_SECONDS}s", "connections": CONNECTIONS}
    words = [program(), "call", "-target", target]
    for name, value in {**usual, **load, **(options or {})}.items():
        words += [f"-{name.replace('_', '-')}", str(value)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def account(client: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a client's account.

    Raises:
        OpsError: It failed.
    """
    said, _ = client.communicate()
    if client.returncode:
        raise OpsError(f"the client ended with {client.returncode}")
    return cast("dict[str, Any]", json.loads(said))


def require_free(port: int) -> None:
    """Refuse to measure while another process listens on a gateway's port.

    Envoy shares its port with any other Envoy: the calls would go to either.

    Raises:
        OpsError: A process listens.
    """
    with suppress(OSError):
        socket.create_connection((HOST, port), 1).close()
        raise OpsError(
            f"{HOST}:{port} is in use, by another benchmark or by what a killed one left: "
            f"`ss -ltnp src {HOST}` names the process; end it"
        )


def until_it_accepts(port: int, process: "subprocess.Popen[Any]", log: Path) -> None:
    """Wait until a gateway accepts connections.

    Args:
        port: Its port.
        process: Its process.
        log: File of its output.

    Raises:
        OpsError: It has ended, or does not within a minute.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = log.read_text(errors="replace")[-2000:]
            raise OpsError(f"the gateway ended with {process.returncode}: {said}")
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            time.sleep(LOOK_SECONDS)
    raise OpsError(f"nothing accepts connections on port {port}")
