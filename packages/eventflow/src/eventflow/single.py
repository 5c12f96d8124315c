"""The command `infer`: one call with readable output."""

import asyncio
import time

import typer
from rich.console import Console

from eventflow.call import Call
from eventflow.channel import Channel
from eventflow.client import Result
from eventflow.kserve import Tensor
from eventflow.target import Target


async def infer_once(console: Console, target: Target, message: bytes, deadline: float) -> None:
    """Make one call and print the response.

    Raises:
        EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        typer.Exit: The call was not answered.
    """
    channel = Channel(target)
    await channel.connect()
    done = asyncio.Event()
    now = time.monotonic()
    call = Call(0, message, now, now + deadline, lambda _: done.set())
    channel.submit(call)
    await done.wait()
    await channel.close()
    result = Result.of(call)
    spent = f"{result.latency_seconds * 1000:.1f} ms"
    if result.response is None:
        words = ": ".join(part for part in (result.detail, result.message) if part)
        console.print(f"{result.outcome} after {spent}: {words}", style="red", markup=False)
        raise typer.Exit(1)
    model = f"{result.response.model_name} {result.response.model_version}".strip()
    console.print(f"{model} answered in {spent}", style="green", markup=False)
    for name, value in result.response.parameters.items():
        console.print(f"  {name} = {value}", markup=False, highlight=False)
    for output in result.response.outputs:
        shape = "x".join(str(size) for size in output.shape)
        head = f"  {output.name} {output.datatype} {shape}: "
        console.print(head + _contents(output), markup=False, highlight=False)


def _contents(tensor: Tensor) -> str:
    if tensor.datatype == "BYTES":
        return ", ".join(repr(value.decode("utf-8", "replace")) for value in tensor.strings())
    return f"{len(tensor.data)} bytes {tensor.data[:16].hex(' ')}"
