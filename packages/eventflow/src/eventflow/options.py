"""Options that the commands share, and the objects that they describe."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from eventflow.bearer import token_metadata
from eventflow.errors import EventFlowError
from eventflow.kserve import grpc_message, infer_request
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.target import Target, Tls
from eventflow.tensors import parse_tensor

SAMPLE_MODEL, SAMPLE_TENSOR = "echo", "INPUT0:BYTES:1"
"""Default model and its input tensor."""


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """The options of a call: endpoint, contents, deadline, token and TLS.

    Each field is an option; see `unfolded`.
    """

    endpoint: Annotated[str, typer.Argument(help="HOST:PORT of a KServe v2 gRPC endpoint.")]
    deadline: Annotated[float, typer.Option(min=0.001, help="Deadline of each call, seconds.")] = (
        2.0
    )
    model: Annotated[str, typer.Option(help="Name of the model.")] = SAMPLE_MODEL
    model_version: Annotated[
        str, typer.Option(help="Version of the model; by default the server chooses.")
    ] = ""
    tensor: Annotated[str, typer.Option(help="Input tensor, NAME:DATATYPE:SHAPE.")] = SAMPLE_TENSOR
    size: Annotated[int, typer.Option("--bytes", min=0, help="Length of each BYTES element.")] = 64
    text: Annotated[str | None, typer.Option(help="Text of each BYTES element.")] = None
    data: Annotated[Path | None, typer.Option(help="File with the raw contents of the tensor.")] = (
        None
    )
    metadata: Annotated[
        list[str] | None, typer.Option(help="Metadata of each call, NAME=VALUE.")
    ] = None
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token (JWT) of each call.")
    ] = None
    token_command: Annotated[
        str | None, typer.Option(help="Command that prints the token of each call.")
    ] = None
    use_tls: Annotated[bool, typer.Option("--tls", help="Use TLS; the options below imply it.")] = (
        False
    )
    ca: Annotated[Path | None, typer.Option(help="Trusted certificates, PEM.")] = None
    cert: Annotated[Path | None, typer.Option(help="Certificate of the client, PEM.")] = None
    key: Annotated[Path | None, typer.Option(help="Key of the client, PEM.")] = None
    server_name: Annotated[
        str | None, typer.Option(help="Expected name in the endpoint's certificate.")
    ] = None
    connect_seconds: Annotated[
        float, typer.Option(min=0.01, help="Longest wait for a connection, seconds.")
    ] = 5.0

    def target(self) -> Target:
        """Return the target of the calls.

        Raises:
            EventFlowError: The endpoint or the metadata is malformed, or there is no token.
        """
        host, port = Target.parse(self.endpoint)
        metadata = tuple(_metadata(item) for item in self.metadata or ())
        return Target(
            host=host,
            port=port,
            tls=self._tls(),
            metadata=(*metadata, *token_metadata(self.token_file, self.token_command)),
            connect_seconds=self.connect_seconds,
        )

    def message(self) -> bytes:
        """Encode the request of every call, with the gRPC prefix.

        Raises:
            EventFlowError: The tensor is invalid.
        """
        tensor = parse_tensor(self.tensor, size=self.size, text=self.text, data=self.data)
        return grpc_message(infer_request(self.model, [tensor], version=self.model_version))

    def _tls(self) -> Tls | None:
        given = (self.ca, self.cert, self.key, self.server_name)
        if not self.use_tls and not any(given):
            return None
        return Tls(ca=self.ca, certificate=self.cert, key=self.key, server_name=self.server_name)


def unfolded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's dataclass parameters by options, one for each field.

    Typer turns each parameter of a function into one option and has no groups of options that
    commands could share. This decorator replaces each parameter that is annotated with a dataclass
    by the fields of that class, and builds the object when the command runs.

    Args:
        command: The command. Such parameters, and those after them, must be keyword-only.
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
    """Return the load model.

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
