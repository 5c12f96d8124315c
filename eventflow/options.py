"""The command line's options, and what is asked by them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from eventflow.errors import EventFlowError
from eventflow.kserve import grpc_message, infer_request
from eventflow.load import Load, Rate, Unbounded, Window
from eventflow.target import Target, Tls
from eventflow.tensors import parse_tensor

SAMPLE_MODEL, SAMPLE_TENSOR = "echo", "INPUT0:BYTES:1"
"""The project's sample model and its input; the defaults."""

Endpoint = Annotated[str, typer.Argument(help="HOST:PORT of a KServe v2 gRPC endpoint.")]
Deadline = Annotated[float, typer.Option(min=0.001, help="Deadline of each call, seconds.")]
Model = Annotated[str, typer.Option(help="Name of the model.")]
Version = Annotated[str, typer.Option(help="Its version; the server's choice if not given.")]
TensorSpec = Annotated[str, typer.Option("--tensor", help="Input tensor, NAME:DATATYPE:SHAPE.")]
Size = Annotated[int, typer.Option("--bytes", min=0, help="Length of a BYTES tensor's elements.")]
Contents = Annotated[str | None, typer.Option("--text", help="What a BYTES tensor says.")]
DataFile = Annotated[Path | None, typer.Option("--data", help="File with the raw contents.")]
Metadata = Annotated[list[str] | None, typer.Option(help="NAME=VALUE to send with each call.")]
UseTls = Annotated[bool, typer.Option("--tls", help="Speak TLS; implied by the options below.")]
Ca = Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")]
Certificate = Annotated[Path | None, typer.Option("--cert", help="Client's certificate, PEM.")]
Key = Annotated[Path | None, typer.Option(help="Client's key, PEM.")]
ServerName = Annotated[str | None, typer.Option(help="Name in the endpoint's certificate.")]
ConnectSeconds = Annotated[float, typer.Option(min=0.01, help="Wait for a connection, seconds.")]


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """TLS, as given on the command line."""

    use: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None
    server_name: str | None

    def tls(self) -> Tls | None:
        """Say which TLS is asked for, if any."""
        given = (self.ca, self.certificate, self.key, self.server_name)
        if not self.use and not any(given):
            return None
        return Tls(
            ca=self.ca, certificate=self.certificate, key=self.key, server_name=self.server_name
        )


def make_target(
    endpoint: str, metadata: list[str] | None, tls: Tls | None, connect_seconds: float
) -> Target:
    """Make the target.

    Raises:
        EventFlowError: The endpoint or the metadata is malformed.
    """
    host, port = Target.parse(endpoint)
    pairs: list[tuple[str, str]] = []
    for item in metadata or ():
        name, equals, value = item.partition("=")
        name = name.lower()
        allowed = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not equals or not allowed or not (value.isascii() and value.isprintable()):
            raise EventFlowError(f"metadata {item!r}: expected NAME=VALUE in printable ASCII")
        pairs.append((name, value))
    return Target(
        host=host, port=port, tls=tls, metadata=tuple(pairs), connect_seconds=connect_seconds
    )


def make_load(window: int | None, rate: float | None) -> Load:
    """Say when calls are made.

    Raises:
        EventFlowError: Both a window and a rate are given.
    """
    if window is not None and rate is not None:
        raise EventFlowError("--window is a closed loop and --rate an open one: give one of them")
    if window is not None:
        return Window(window)
    return Unbounded() if rate is None else Rate(rate)


def make_message(
    model: str, version: str, spec: str, size: int, text: str | None, data: Path | None
) -> bytes:
    """Make the request that every call carries, gRPC prefix included.

    Raises:
        EventFlowError: The tensor cannot be right.
    """
    tensor = parse_tensor(spec, size=size, text=text, data=data)
    return grpc_message(infer_request(model, [tensor], version=version))
