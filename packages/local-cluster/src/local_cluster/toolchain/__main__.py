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
from local_cluster.toolchain.table import TABLE, select

app = typer.Typer(
    help="The pinned tools: found on PATH, in the cache, or built.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[GROUP|TOOL]...", show_default="all of them")
]


@contextmanager
def _told() -> Generator[None]:
    """Turn what stops a command into one message; what the user can mend has no traceback."""
    try:
        yield
    except ToolchainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; run it again to go on", err=True)
        raise typer.Exit(130) from None


@app.command()
def ensure(names: Names = None) -> None:
    """Make tools ready, building what is missing; drop old ones that no checkout uses any more."""
    with _told():
        toolchain.ensure(*names or ())
        for entry in prune(Cache(), TABLE.values()):
            typer.echo(f"removed {entry}: not used for {UNUSED_DAYS} days")


@app.command()
def path(names: Names = None) -> None:
    """Make tools ready, and print the directory to put first on PATH."""
    with _told():
        typer.echo(toolchain.bin_dir(*names or ()))


@app.command(name="list")
def list_tools(names: Names = None) -> None:
    """Show which tools there are, at which version, and where each comes from."""
    with _told():
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
