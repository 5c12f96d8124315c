"""One call on a connection of its own, by each gRPC client, and its end as that client sees it."""

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bench.rivals.bed import program
from tests.envoy.harness.backend import INFER
from tests.envoy.harness.secrets import NAME

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True)
class Way:
    """Address of a gateway, and the files of a client; in plain text without an authority."""

    port: int
    authority: Path | None = None
    """PEM file of the authority that the client trusts."""
    pair: Path | None = None
    """PEM file with the client's key and certificate."""


@dataclass(frozen=True)
class Attempt:
    """One call."""

    method: str = INFER
    size: int = 64
    """Bytes of the request."""
    deadline_seconds: float = 20
    token: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """End of the call."""

    code: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    """Initial and trailing metadata."""

    @property
    def by_gateway(self) -> bool:
        """Return True if it came from the gateway: Envoy signs all that it sends."""
        return self.metadata.get("server") == "envoy"


def by_grpcio(way: Way, attempt: Attempt) -> Answer:
    """Make the call with grpcio, the client of Python."""
    address = f"127.0.0.1:{way.port}"
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", NAME)]
    if way.authority:
        own = way.pair.read_bytes() if way.pair else None
        credentials = grpc.ssl_channel_credentials(way.authority.read_bytes(), own, own)
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    token = [("authorization", f"Bearer {attempt.token}")] if attempt.token else []
    with channel:
        call: Any = channel.unary_unary(attempt.method).future(
            bytes(attempt.size),
            timeout=attempt.deadline_seconds,
            metadata=(*attempt.metadata, *token),
        )
        call.exception()
        return Answer(
            call.code().name,
            call.details() or "",
            _metadata(call.initial_metadata(), call.trailing_metadata()),
        )


def _metadata(*parts: Iterable[tuple[str, Any]] | None) -> dict[str, str]:
    return {name: str(value) for part in parts for name, value in part or ()}


def by_grpc_go(way: Way, attempt: Attempt) -> Answer:
    """Make the call with grpc-go."""
    words = ["-target", f"127.0.0.1:{way.port}", "-server-name", NAME]
    words += ["-ca", str(way.authority)] if way.authority else []
    words += ["-cert", str(way.pair)] if way.pair else []
    words += ["-token", attempt.token] if attempt.token else []
    for name, value in attempt.metadata:
        words += ["-metadata", f"{name}={value}"]
    words += ["-method", attempt.method, "-request-bytes", str(attempt.size)]
    words += ["-deadline", f"{attempt.deadline_seconds}s"]
    ended = subprocess.run([program(), "try", *words], stdout=subprocess.PIPE, check=True)
    said = json.loads(ended.stdout)
    pairs = [
        (name, ", ".join(values))
        for part in (said["headers"], said["trailers"])
        for name, values in (part or {}).items()
    ]
    return Answer(_CODES[said["code"]], said["message"], _metadata(pairs))


CLIENTS: dict[str, Callable[[Way, Attempt], Answer]] = {
    "grpcio": by_grpcio,
    "grpc-go": by_grpc_go,
}
"""Clients by name."""
