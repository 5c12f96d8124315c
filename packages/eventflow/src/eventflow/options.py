"""The command line's options, and what is asked by them."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from eventflow.errors import EventFlowError
from eventflow.kserve import grpc_message, infer_request
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.target import Target, Tls
from eventflow.tensors import parse_tensor

SAMPLE_MODEL, SAMPLE_TENSOR = "echo", "INPUT0:BYTES:1"
"""The project's sample model and its input; the defaults."""


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What every command is told of a call: where it goes, what it carries, how long it may take.

    See `unfolded`: each field is an option.
    """

    endpoint: Annotated[str, typer.Argument(help="HOST:PORT of a KServe v2 gRPC endpoint.")]
    deadline: Annotated[float, typer.Option(min=0.001, help="Deadline of each call, seconds.")] = (
        2.0
    )
    model: Annotated[str, typer.Option(help="Name of the model.")] = SAMPLE_MODEL
    model_version: Annotated[
        str, typer.Option(help="Its version; the server's choice if not given.")
    ] = ""
    tensor: Annotated[str, typer.Option(help="Input tensor, NAME:DATATYPE:SHAPE.")] = SAMPLE_TENSOR
    size: Annotated[
        int, typer.Option("--bytes", min=0, help="Length of a BYTES tensor's elements.")
    ] = 64
    text: Annotated[str | None, typer.Option(help="What a BYTES tensor says.")] = None
    data: Annotated[Path | None, typer.Option(help="File with the raw contents.")] = None
    metadata: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE to send with each call.")
    ] = None
    use_tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS; implied by the options below.")
    ] = False
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")] = None
    cert: Annotated[Path | None, typer.Option(help="Client's certificate, PEM.")] = None
    key: Annotated[Path | None, typer.Option(help="Client's key, PEM.")] = None
    server_name: Annotated[str | None, typer.Option(help="Name in the endpoint's certificate.")] = (
        None
    )
    connect_seconds: Annotated[
        float, typer.Option(min=0.01, help="Wait for a connection, seconds.")
    ] = 5.0

    def target(self) -> Target:
        """Say where the calls go.

        Raises:
            EventFlowError: The endpoint or the metadata is malformed.
        """
        host, port = Target.parse(self.endpoint)
        metadata = tuple(_metadata(item) for item in self.metadata or ())
        return Target(
            host=host,
            port=port,
            tls=self._tls(),
            metadata=metadata,
            connect_seconds=self.connect_seconds,
        )

    def message(self) -> bytes:
        """Make the request that every call carries, gRPC prefix included.

        Raises:
            EventFlowError: The tensor cannot be right.
        """
        tensor = parse_tensor(self.tensor, size=self.size, text=self.text, data=self.data)
        return grpc_message(infer_request(self.model, [tensor], version=self.model_version))

    def _tls(self) -> Tls | None:
        given = (self.ca, self.cert, self.key, self.server_name)
        if not self.use_tls and not any(given):
            return None
        return Tls(ca=self.ca, certificate=self.cert, key=self.key, server_name=self.server_name)


def unfolded(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses whose fields are options (or arguments) of its own.

    Typer reads a function's signature, one parameter an option; it knows no group of options that
    commands could share. So each parameter that is annotated with a dataclass is replaced in the
    signature by that class's fields, and the class is made of them when the command runs.

    Args:
        command: The command; such parameters, and those behind them, are keyword-only.
    """
    own = inspect.signature(command).parameters
    kinds: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in own.items()
        if is_dataclass(parameter.annotation)
    }
    folded = {name: inspect.signature(kind).parameters for name, kind in kinds.items()}

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        for name, fields in folded.items():
            given[name] = kinds[name](**{field: given.pop(field) for field in fields})
        command(**given)

    parameters = [shown for name in own for shown in folded.get(name, {name: own[name]}).values()]
    vars(wrapped)["__signature__"] = inspect.Signature(parameters)
    return wrapped


def make_load(window: int | None, rate: float | None) -> Load:
    """Say when calls are made.

    Raises:
        EventFlowError: Both a window and a rate are given.
    """
    if window is not None and rate is not None:
        raise EventFlowError("--window is a closed loop and --rate an open one: give one of them")
    if window is not None:
        return ClosedLoop(window)
    return MaxThroughput() if rate is None else OpenLoop(rate)


def _metadata(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    name = name.lower()
    allowed = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    if not equals or not allowed or not (value.isascii() and value.isprintable()):
        raise EventFlowError(f"metadata {item!r}: expected NAME=VALUE in printable ASCII")
    return name, value
