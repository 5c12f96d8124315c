"""The command line: `infer` and `burst`."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eventflow.console import live, print_report
from eventflow.errors import EventFlowError
from eventflow.load_generator import Plan
from eventflow.metrics_sources import MetricsSources
from eventflow.options import CallOptions, make_load, unfolded
from eventflow.processes import run_processes
from eventflow.report import summarize
from eventflow.retry import Retry
from eventflow.run import Burst, EngineName, run_burst
from eventflow.single import infer_once

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Send bursts of KServe v2 inference calls and account for each call.",
)

GATEWAY_IN_FLIGHT = 'sum(envoy_cluster_upstream_rq_active{cluster_name="ai_inference_cluster"})'
GATEWAY_REPLICAS = 'max(envoy_cluster_membership_healthy{cluster_name="ai_inference_cluster"})'


@app.command()
@unfolded
def infer(call: CallOptions) -> None:
    """Make one call and print the model's response."""
    asyncio.run(infer_once(Console(), call.target(), call.message(), call.deadline))


@app.command()
@unfolded
def burst(
    *,
    calls: Annotated[
        int | None, typer.Option("--calls", "-n", min=1, help="Number of calls.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Make calls for this long; with -n, at most.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Closed loop: number of calls in flight.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Open loop: calls per second.")
    ] = None,
    call: CallOptions,
    engine: Annotated[
        EngineName, typer.Option(help="grpcio uses a gRPC channel and is slower.")
    ] = "fast",
    connections: Annotated[int, typer.Option(min=1, help="Connections per process.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the calls.")] = 1,
    retries: Annotated[
        int, typer.Option(min=0, help="Retries of a call that reached no replica.")
    ] = 0,
    echo: Annotated[
        float | None,
        typer.Option(min=0.001, help="Measure a PING this often, seconds."),
    ] = None,
    pod_header: Annotated[
        str | None, typer.Option(help="Response metadata that names the replica.")
    ] = None,
    pod_parameter: Annotated[
        str | None, typer.Option(help="Response parameter that names the replica.")
    ] = None,
    counters: Annotated[
        list[str] | None,
        typer.Option(help="URL with calls per replica: Triton's /metrics, Envoy's /clusters."),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="File for the report; - is standard output.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a plot of outcomes, calls in flight and replicas.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(help="URL of a Prometheus whose series the plot shows, too.")
    ] = None,
    in_flight_query: Annotated[
        str, typer.Option(help="PromQL: calls in flight at the gateway.")
    ] = GATEWAY_IN_FLIGHT,
    replicas_query: Annotated[str, typer.Option(help="PromQL: ready replicas.")] = GATEWAY_REPLICAS,
) -> None:
    """Make many calls (50,000 by default) and account for each."""
    if calls is None and seconds is None:
        calls = 50_000
    plan = Plan(
        load=make_load(window, rate), calls=calls, seconds=seconds, deadline_seconds=call.deadline
    )
    work = Burst(
        target=call.target(),
        plan=plan,
        message=call.message(),
        engine=engine,
        connections=connections,
        retry=Retry(attempts=retries) if retries else None,
        echo_seconds=echo,
        pod_header=pod_header.lower() if pod_header else None,
        pod_parameter=pod_parameter,
    )
    sources = MetricsSources(
        counters=tuple(counters or ()),
        picture=picture,
        prometheus=prometheus,
        in_flight_query=in_flight_query,
        replicas_query=replicas_query,
    )
    # Standard output holds nothing but the report if the report goes there.
    console = Console(stderr=json_file == "-")
    sources.before()
    with live(console, calls) as view:
        if processes == 1:
            run = asyncio.run(run_burst(work, view.update))
        else:
            run = run_processes(work, processes, view.update)
    pods, pods_from, notes = sources.after()
    report = summarize(
        work,
        run,
        processes=processes,
        calls_per_pod=pods,
        pods_from=pods_from,
        notes=[*notes, *sources.draw(report_title(work), run)],
    )
    print_report(console, report)
    if json_file is not None:
        write_json(json_file, json.dumps(report.as_dict(), indent=2))
    if run.interrupted:
        raise typer.Exit(130)


def report_title(work: Burst) -> str:
    """Return the title of the plot."""
    calls = f"{work.plan.calls:,} calls, " if work.plan.calls else ""
    deadline = f"deadline {work.plan.deadline_seconds:g} s"
    return f"{calls}{work.plan.load}, {deadline}, {work.target.authority}"


def write_json(name: str, text: str) -> None:
    """Write the report to a file, or to standard output for `-`.

    Raises:
        EventFlowError: The file cannot be written.
    """
    if name == "-":
        typer.echo(text)
        return
    try:
        Path(name).write_text(text + "\n")
    except OSError as error:
        raise EventFlowError(f"{name}: {error.strerror}") from error
