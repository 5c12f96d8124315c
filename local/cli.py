"""The local cluster from the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from pulumi import RunError
from typer.exceptions import TyperException

from config.base import PROJECT_FOLDER
from local.cluster import Cluster
from local.errors import LocalClusterError
from local.modes import MODE_VARIABLE, best_here
from local.paths import STATE_DIR
from toolchain import ToolchainError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The embedded Kubernetes that the dev stack goes to.",
)

State = Annotated[
    Path, typer.Option("--state", help="Folder that holds everything local.", file_okay=False)
]


@app.command()
def up(
    state: State = STATE_DIR,
    stack: Annotated[str, typer.Option(help="Stack whose parameters the nodes follow.")] = "dev",
    mode: Annotated[
        str | None,
        typer.Option(envvar=MODE_VARIABLE, help="Kind of cluster, fixed when it is made."),
    ] = None,
) -> None:
    """Start the cluster, heal it, or bring its nodes in line with the parameters."""
    from config.load import parse, read_stack_file
    from local.status import show

    file = PROJECT_FOLDER / f"Pulumi.{stack}.yaml"
    settings = parse(read_stack_file(file), source=file.name)
    cluster = Cluster(state, mode, default=best_here())
    cluster.up(settings)
    show(cluster)


@app.command()
def down(state: State = STATE_DIR) -> None:
    """End the cluster's processes and remove all of it."""
    print("the local cluster is gone" if Cluster(state).down() else "there is no local cluster")


@app.command()
def status(state: State = STATE_DIR) -> None:
    """Say what runs, where its API is, and what it is."""
    from local.status import show

    show(Cluster(state))


def main() -> int:
    """Run a command; what stops it is one message, not a traceback."""
    try:
        app(prog_name="python -m local", standalone_mode=False)
    except (LocalClusterError, ToolchainError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except TyperException as error:
        # Without a command the help was shown, and nothing is left to say.
        if message := error.format_message():
            print(f"error: {message}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0
