"""The designs that are compared: each is a way from a caller to the replicas."""

import json
import math
import random
import signal
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.door import OPEN, Door
from bench.rivals import envoys, own, proxies
from bench.rivals.bed import (
    CONNECTIONS,
    DEADLINE_SECONDS,
    DNS_PORT,
    HOST,
    Bed,
    Fleet,
    call,
    require_free,
    until_it_accepts,
)
from components.gateway.envoy.bootstrap import arguments
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.validate import envoy_path
from config.sections.inference import InferenceStack
from config.sections.traffic import Traffic
from config.units import BYTES_PER_KIB

OURS = "this stack"

DIRECT = "client-side round_robin"
"""Without a gateway: what a gateway adds is the difference from it."""

_PORT, _ADMIN_PORT = 8080, 8090

_END_SECONDS = 5.0
"""Time for a gateway's processes to end, which it asks itself."""

Command = Callable[[Bed, int, Path], list[str]]


@dataclass(frozen=True)
class Design:
    """A design, and how its gateway is started."""

    name: str
    command: Command | None = None
    """Writes the gateway's configuration and returns its command; None without a gateway."""
    reconfigure: Callable[[Bed, int, Path, int], str] | None = None
    """Configuration for another number of ready replicas, where it is no matter of DNS."""
    spreads: bool = True
    """Without a gateway: True if the client divides its calls between all replicas."""
    door: Door = OPEN
    """Way of the client through the gateway's port."""
    refuses: bool = False
    """True if it answers calls that are too many, and does not let them wait."""


@dataclass(frozen=True)
class Way:
    """A running design: its addresses, and the process whose CPU its calls cost."""

    target: str
    """Address, or URI for a resolver of the client."""
    process: "subprocess.Popen[bytes] | None"
    follow: Callable[[int], None]
    """Tells the gateway how many replicas are ready, where it is no matter of DNS."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Options of the client."""
    door: Door = OPEN
    """Gateway's port."""

    def call_as(self, caller: str, **load: float | str) -> "subprocess.Popen[str]":
        """Start the client of a caller, whom the gateway knows by its token."""
        options = {**self.options, "token": self.door.token(caller)}
        return call(self.target, options=options, **load)

    def call(self, **load: float | str) -> "subprocess.Popen[str]":
        """Start the client on its way; see `bed.call`."""
        return call(self.target, options=self.options, **load)


def stack_of(fleet: Fleet, *, connections: int = CONNECTIONS, **gateway: object) -> InferenceStack:
    """Return a stack whose parameters state the bed, with one gateway.

    Args:
        fleet: The replicas.
        connections: Connections of the client.
        gateway: Further parameters of the gateway.
    """
    kib = fleet.response_bytes / BYTES_PER_KIB
    most = max(Traffic().max_request_kib, math.ceil(kib))
    return InferenceStack.model_validate(
        {
            "gateway": {"replicas": 1, "cpu": 1, "memoryMib": 2048, **gateway},
            "traffic": {
                # The bed's clients send as much as they get.
                "requestKib": kib,
                "responseKib": kib,
                "maxRequestKib": most,
                "maxResponseKib": most,
                "serviceTimeSeconds": fleet.slots / fleet.replica_rps,
                "parallelism": fleet.slots,
                "deadlineSeconds": DEADLINE_SECONDS,
                "clientConnections": connections,
            },
            "autoscaler": {"minReplicas": 2, "maxReplicas": fleet.replicas},
        }
    )


def ours(name: str = OURS, door: Door = OPEN) -> Design:
    """Return the stack's own gateway, with its defaults.

    Args:
        name: Name of the design.
        door: What locks the gateway's port.
    """

    def command(bed: Bed, port: int, folder: Path) -> list[str]:
        own.write(door, folder)
        ports = {"port": port, "opsPort": port + 1, "adminPort": _ADMIN_PORT}
        return own.envoy_command(stack_of(bed.fleet, **ports, **door.gateway), folder)

    return Design(name, command, door=door, refuses=True)


def usual(name: str, breaker: int | None, *, adaptive: bool = False) -> Design:
    """Return the usual design's Envoy; see `envoys.usual_config`."""

    def command(bed: Bed, port: int, folder: Path) -> list[str]:
        config = envoys.usual_config(bed, port, _ADMIN_PORT, breaker, adaptive=adaptive)
        return _envoy(config, folder)

    return Design(name, command, refuses=True)


def _envoy(config: Json, folder: Path) -> list[str]:
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    return [str(envoy_path()), *arguments(str(path))]


DESIGNS = (
    Design("ClusterIP Service", spreads=False),
    Design(DIRECT),
    Design("nginx", proxies.nginx_command, proxies.nginx_config),
    Design("HAProxy", proxies.haproxy_command),
    usual("Envoy, breaker 100", 100),
    usual("Envoy, breaker 1,000", 1_000),
    usual("Envoy, adaptive concurrency", None, adaptive=True),
    ours(),
)
"""All designs, in the order of the table."""


@contextmanager
def running(design: Design, bed: Bed, folder: Path) -> Generator[Way]:
    """Start a design's gateway, and end it afterwards.

    Args:
        design: The design.
        bed: The replicas.
        folder: Existing folder for its files.
    """
    if design.command is None:
        # A Service's address leads each connection to one replica, which chance chooses among the
        # ready ones.
        one = random.choice(bed.targets[: bed.fleet.ready])  # noqa: S311
        names = f"dns://{HOST}:{DNS_PORT}/{bed.ready_name}.:{bed.grpc_port}"
        yield Way(names if design.spreads else one, None, lambda _: None)
        return
    with process(design.command(bed, _PORT, folder), _PORT, folder) as gateway:

        def follow(ready: int) -> None:
            if design.reconfigure:
                (folder / "nginx.conf").write_text(design.reconfigure(bed, _PORT, folder, ready))
                gateway.send_signal(signal.SIGHUP)

        yield Way(f"{HOST}:{_PORT}", gateway, follow, own.client(design.door, folder), design.door)


@contextmanager
def process(command: list[str], port: int, folder: Path) -> Generator["subprocess.Popen[bytes]"]:
    """Start a gateway's process, and end it afterwards.

    Args:
        command: Its command.
        port: Port on which it accepts connections.
        folder: Existing folder for its log.
    """
    require_free(port)
    path = folder / "gateway.log"
    with path.open("wb") as log:
        gateway = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_it_accepts(port, gateway, path)
        yield gateway
    finally:
        gateway.terminate()
        try:
            gateway.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            gateway.kill()
            gateway.wait()
