"""The local cluster from the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from local_cluster.cluster import Cluster
from local_cluster.errors import LocalClusterError
from local_cluster.modes import MODE_VARIABLE, best_here
from local_cluster.spec import (
    GPU_RESOURCE,
    ClusterSpec,
    Resources,
    ServingNode,
    SimulatedNode,
    Taint,
)
from local_cluster.toolchain import ToolchainError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run a local Kubernetes cluster out of one folder.",
)

State = Annotated[
    Path, typer.Option("--state", help="Folder that holds the cluster.", file_okay=False)
]
_STATE = Path(".local-cluster")
_CPU_NODE = Resources(cpu=8, memory_gib=32, disk_gib=100)


@app.command()
def up(
    state: State = _STATE,
    mode: Annotated[
        str | None,
        typer.Option(envvar=MODE_VARIABLE, help="simulated or serving; a cluster keeps its mode."),
    ] = None,
    cpu_nodes: Annotated[int, typer.Option(min=0, help="Simulated nodes without GPUs.")] = 1,
    gpu_nodes: Annotated[int, typer.Option(min=0, help="Simulated nodes with GPUs.")] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each GPU node; of the real node.")] = 4,
) -> None:
    """Start the cluster, repair it, or bring its nodes in line with the options."""
    from local_cluster.status import show

    cluster = Cluster(state, mode, default=best_here())
    cluster.up(_spec(cpu_nodes, gpu_nodes, gpus))
    show(cluster)


def _spec(cpu_nodes: int, gpu_nodes: int, gpus: int) -> ClusterSpec:
    with_gpus = Resources(cpu=48, memory_gib=192, disk_gib=200, gpus=gpus)
    taint = Taint(key=GPU_RESOURCE, value="true")
    nodes = [
        *(
            SimulatedNode(name=f"gpu-{i}", capacity=with_gpus, taints=(taint,))
            for i in range(gpu_nodes)
        ),
        *(SimulatedNode(name=f"cpu-{i}", capacity=_CPU_NODE) for i in range(cpu_nodes)),
    ]
    return ClusterSpec(simulated_nodes=nodes, serving_node=ServingNode(gpus=gpus))


@app.command()
def down(state: State = _STATE) -> None:
    """End the cluster's processes and remove all of it."""
    removed = Cluster(state).down()
    print("the local cluster is removed" if removed else "there is no local cluster")


@app.command()
def status(state: State = _STATE) -> None:
    """Show the processes of the cluster, its API address and its mode."""
    from local_cluster.status import show

    show(Cluster(state))


def main() -> int:
    """Run a command; print an error as one message, without a traceback."""
    try:
        app(prog_name="python -m local_cluster", standalone_mode=False)
    except (LocalClusterError, ToolchainError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except TyperException as error:
        # Without a command typer has printed the help, and the message is empty.
        if message := error.format_message():
            print(f"error: {message}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run it again to continue", file=sys.stderr)
        return 130
    return 0
