"""Gateways that refuse calls: a locked one, a plain one, and the states in which they do."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme

from components.gateway.envoy import jwks
from components.gateway.envoy.protojson import Json, extension
from tests.envoy.harness import parts
from tests.envoy.harness.attempt import Attempt, Way, by_grpcio
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.client import Batch, GrpcClient
from tests.envoy.harness.raw import answering, silent
from tests.envoy.harness.secrets import NAME, TLS, MountedFolder, Mounts, pair
from tests.envoy.harness.tokens import TokenIssuer, bearer
from tests.envoy.harness.waiting import wait_until
from tests.envoy.test_limits import PENDING, STREAMS, held, release
from tests.envoy.test_retries import UNCHECKED

ISSUER, KEYLESS = TokenIssuer("issuer"), TokenIssuer("keyless")
GOOD, LIMITED = Attempt(token=ISSUER.token()), Attempt(token=ISSUER.token(sub="limited"))
LIMIT_KIB = 64
_CALLERS, _STRANGERS = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(2))
_CONNECTIONS, _HOUR = 20, 3600
_STOPPED = "overload.envoy.overload_actions.stop_accepting_requests.active"


@dataclass(frozen=True)
class Gate:
    """A gateway, and a client's way to it."""

    bed: Bed
    way: Way
    memory: Path
    """File that stands for the gateway's heap: its share in use."""

    @property
    def connections(self) -> int:
        return self.bed.gateway.stat(f"listener.127.0.0.1_{self.way.port}.downstream_cx_active")


@contextmanager
def open_locked(folder: Path) -> Iterator[Gate]:
    """A gateway with TLS, certificates of clients, tokens, limits and shares."""
    clients = {"ca": {"kind": "secret", "name": "callers"}}
    mounts = Mounts(folder / "mounts", {**TLS, "clients": clients})
    mounts.trust(_CALLERS)
    authority, own, memory = (folder / name for name in ("ca.pem", "client.pem", "memory"))
    authority.write_bytes(mounts.ca)
    own.write_bytes(b"".join(pair(_CALLERS, "client").values()))
    stranger(own).write_bytes(b"".join(pair(_STRANGERS, "client").values()))
    memory.write_text("0")
    keys = MountedFolder(folder / "keys")
    keys.write({"jwks.json": b""})

    def edit(config: Json) -> None:
        mounts.edit(config)
        config.update(json.loads(json.dumps(config).replace(jwks.folder(1), str(keys.folder))))
        parts.max_connections(config)["max_active_downstream_connections"] = _CONNECTIONS
        name = "envoy.resource_monitors.injected_resource"
        kind = "extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig"
        manager = config["overload_manager"]
        manager["resource_monitors"].append(extension(name, kind, filename=str(memory)))
        for action in manager["actions"]:
            for trigger in action["triggers"]:
                trigger["name"] = name

    callers = {
        "jwt": {
            "issuers": [ISSUER.config(), KEYLESS.config({"kind": "configMap", "name": "keys"})]
        },
        "limit": {
            "requestsPerSecond": 1_000_000,
            "overrides": [{"caller": "limited", "requestsPerSecond": 0.01}],
        },
        "fairShares": {"guaranteedRps": 0.01, "callsPerPod": STREAMS},
    }
    with open_bed(
        folder,
        max_pending=PENDING,
        gateway={"tls": mounts.options, "callers": callers},
        traffic={"streamIdleSeconds": 1, "maxRequestKib": LIMIT_KIB},
        edit=edit,
    ) as bed:
        yield Gate(bed, Way(bed.gateway.port, authority, own), memory)


@contextmanager
def open_plain(folder: Path) -> Iterator[Gate]:
    """A gateway with a static breaker, which never checks its replicas again."""
    static = {"kind": "static", "maxRequests": STREAMS, "maxPendingRequests": STREAMS}
    with open_bed(folder, gateway={**UNCHECKED, "inFlight": static}) as bed:
        yield Gate(bed, Way(bed.gateway.port), folder / "unused")


def stranger(own: Path) -> Path:
    return own.with_name("stranger.pem")


@contextmanager
def full(gate: Gate, places: tuple[int, int]) -> Iterator[None]:
    """Let other calls of the caller have all places: in flight, and waiting."""
    credentials, options = None, {}
    if gate.way.authority and gate.way.pair:
        own = gate.way.pair.read_bytes()
        credentials = grpc.ssl_channel_credentials(gate.way.authority.read_bytes(), own, own)
        options = {"ssl_target_name_override": NAME}
    batches: list[Batch] = []

    def taken() -> bool:
        if held(gate.bed) < places:
            batches.append(client.start(4, **bearer(str(GOOD.token))))
        return held(gate.bed) == places

    # A guaranteed call has a place of its own.
    by_grpcio(gate.way, GOOD)
    with GrpcClient(gate.way.port, credentials=credentials, **options) as client:
        gate.bed.fleet.hang()
        wait_until("all places are taken", taken)
        try:
            yield
        finally:
            for batch in batches:
                release(gate.bed, batch)


@contextmanager
def stuck(gate: Gate) -> Iterator[None]:
    gate.bed.fleet.hang()
    try:
        yield
    finally:
        gate.bed.fleet.resume()


@contextmanager
def slow(gate: Gate) -> Iterator[None]:
    """Let no replica answer a stream."""
    replicas = gate.bed.fleet.replicas
    usual = replicas[0].service_seconds

    def take(seconds: float) -> None:
        for replica in replicas:
            replica.service_seconds = seconds

    take(_HOUR)
    try:
        yield
    finally:
        take(usual)


@contextmanager
def sick(gate: Gate) -> Iterator[None]:
    replicas = gate.bed.fleet.replicas

    def serve(serving: bool) -> None:
        for replica in replicas:
            replica.serving = serving
        healthy = len(replicas) if serving else 0
        wait_until("checks find out", lambda: gate.bed.gateway.healthy_hosts() == healthy)

    try:
        serve(False)
        yield
    finally:
        serve(True)


@contextmanager
def gone(gate: Gate) -> Iterator[None]:
    fleet = gate.bed.fleet
    for replica in fleet.replicas:
        fleet.stop(replica)
    try:
        yield
    finally:
        for replica in fleet.replicas:
            fleet.start(replica)


def hang_up(_: int) -> bytes:
    raise EOFError


@contextmanager
def dying(gate: Gate) -> Iterator[None]:
    """Let replicas close the connection that brings a call."""
    with gone(gate), ExitStack() as replicas:
        for host in gate.bed.fleet.hosts:
            replicas.enter_context(answering(host, gate.bed.fleet.port, hang_up))
        yield


@contextmanager
def out_of_memory(gate: Gate) -> Iterator[None]:

    def use(share: int) -> None:
        new = gate.memory.with_suffix(".new")
        new.write_text(str(share))
        new.replace(gate.memory)
        wait_until("the gateway notices", lambda: gate.bed.gateway.stat(_STOPPED) == share)

    try:
        use(1)
        yield
    finally:
        use(0)


@contextmanager
def connected(gate: Gate) -> Iterator[None]:
    """Hold all connections that the gateway takes."""
    wait_until("earlier ones are gone", lambda: gate.connections == 0)
    with silent(gate.way.port, b"", _CONNECTIONS):
        wait_until("none is left", lambda: gate.connections == _CONNECTIONS)
        yield
    wait_until("they are gone", lambda: gate.connections == 0)


@contextmanager
def limited(gate: Gate) -> Iterator[None]:
    """Let the caller use up its rate."""
    by_grpcio(gate.way, LIMITED)
    yield
