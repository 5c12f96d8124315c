"""Command line: `python -m local_cluster.toolchain ensure|path|list`."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from local_cluster import toolchain
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.prune import UNUSED_DAYS, prune
from local_cluster.toolchain.resolve import resolve
from local_cluster.toolchain.select import select
from local_cluster.toolchain.table import TABLE

app = typer.Typer(
    help="Pinned tools: found on PATH, found in the cache, or built.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[GROUP|TOOL]...", show_default="all of them")
]


@contextmanager
def _errors_reported() -> Generator[None]:
    """Print an error that the user can fix as one message, without a traceback."""
    try:
        yield
    except ToolchainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; run it again to continue", err=True)
        raise typer.Exit(130) from None


@app.command()
def ensure(names: Names = None) -> None:
    """Build missing tools, and delete tools that no checkout uses any more."""
    with _errors_reported():
        toolchain.ensure(*names or ())
        for entry in prune(Cache(), TABLE.values()):
            typer.echo(f"removed {entry}: not used for {UNUSED_DAYS} days")


@app.command()
def path(names: Names = None) -> None:
    """Build missing tools, and print the folder to put first on PATH."""
    with _errors_reported():
        typer.echo(toolchain.bin_dir(*names or ()))


@app.command(name="list")
def list_tools(names: Names = None) -> None:
    """List tools with their versions and origins."""
    with _errors_reported():
        tools = select(names or ())
    found = resolve(tools, Cache())
    widest = max(len(tool.name) for tool in tools)
    for tool in tools:
        hit = found.get(tool.name)
        version, origin, where = (
            (hit.version, hit.origin, str(hit.path)) if hit else (tool.version, "missing", "")
        )
        line = f"{tool.group:8} {tool.name:{widest}} {version:9} {origin:8} {where}"
        typer.echo(line.rstrip())


if __name__ == "__main__":
    app(prog_name="python -m local_cluster.toolchain")
