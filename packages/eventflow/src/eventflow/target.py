"""The target of calls, and the header block of its requests."""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from eventflow.errors import EventFlowError
from eventflow.http2.frames import DEFAULT_FRAME_BYTES
from eventflow.http2.headers import encode_stateless, timeout_value

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
"""The KServe v2 method."""

_DISTRIBUTION = "kubemind-eventflow"
USER_AGENT = f"{_DISTRIBUTION}/{version(_DISTRIBUTION)}"

_LONGEST_TIMEOUT = 10**8 - 1
"""Timeout, milliseconds, whose header value is the longest."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS settings: how client and endpoint authenticate each other."""

    ca: Path | None = None
    """Trusted certificates, PEM; unset means the system's."""
    certificate: Path | None = None
    """Certificate chain of the client, PEM, if the endpoint requires one."""
    key: Path | None = None
    """Key of the client's certificate, PEM."""
    server_name: str | None = None
    """Expected name in the endpoint's certificate; unset means the host."""

    def context(self) -> ssl.SSLContext:
        """Create a TLS context that offers only `h2`.

        Raises:
            EventFlowError: A file cannot be read or is invalid.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.set_alpn_protocols(["h2"])
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(name) for name in (self.ca, self.certificate, self.key) if name)
            raise EventFlowError(f"TLS: cannot use {files}: {error}") from error
        return context


@dataclass(frozen=True, kw_only=True)
class Target:
    """A gRPC method at an endpoint."""

    host: str
    port: int
    method: str = MODEL_INFER
    tls: Tls | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    """Metadata of every call; together with the other headers it must fit into one frame."""
    max_response_bytes: int = 4 * 1024 * 1024
    """Largest response; the default is gRPC's."""
    connect_seconds: float = 5.0
    """Longest time until a connection is ready for calls."""
    _blocks: dict[int, bytes] = field(
        default_factory=dict[int, bytes], init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Refuse headers that no request can carry.

        Raises:
            EventFlowError: The headers are not ASCII, or are larger than one frame.
        """
        try:
            size = len(self.block(_LONGEST_TIMEOUT))
        except UnicodeEncodeError as error:
            raise EventFlowError(f"{error.object!r}: a header must be ASCII") from error
        if size > DEFAULT_FRAME_BYTES:
            raise EventFlowError(
                f"the headers of a request take {size:,} bytes; the limit is "
                f"{DEFAULT_FRAME_BYTES:,}: give less metadata"
            )

    @classmethod
    def parse(cls, endpoint: str) -> tuple[str, int]:
        """Split `host:port`; an IPv6 host has brackets.

        Raises:
            EventFlowError: The text has another form.
        """
        host, colon, port = endpoint.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not (colon and host and port.isdecimal() and 0 < int(port) < 65536) or (
            ":" in host and not bracketed
        ):
            raise EventFlowError(
                f"endpoint {endpoint!r}: expected HOST:PORT, such as 127.0.0.1:8080"
            )
        return (host[1:-1] if bracketed else host), int(port)

    @property
    def authority(self) -> str:
        """Host and port in the form of a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @cached_property
    def _constant_block(self) -> bytes:
        return encode_stateless(
            (
                (":method", "POST"),
                (":scheme", "https" if self.tls else "http"),
                (":path", self.method),
                (":authority", self.authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", USER_AGENT),
                *self.metadata,
            )
        )

    def block(self, timeout_milliseconds: int) -> bytes:
        """Build the header block of a request; `grpc-timeout` is the time left."""
        block = self._blocks.get(timeout_milliseconds)
        if block is None:
            if len(self._blocks) > 100_000:
                self._blocks.clear()
            timeout = timeout_value(timeout_milliseconds)
            block = self._constant_block + encode_stateless((("grpc-timeout", timeout),))
            self._blocks[timeout_milliseconds] = block
        return block
