"""The command line `python -m ops`, and the one way to add a command to it.

A module of `ops/commands/` is one command. Its file has the command's name, with `_` for `-`, and
decorates one function with `command`. `ops.__main__` imports only the module of the command that
is run, so a command may import all that it needs at its top.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Stack = Annotated[str, typer.Option("--stack", "-s", help="Name of the stack.")]

_Function = TypeVar("_Function", bound=Callable[..., None])


@app.callback()
def _root() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Run a command of this project; each is a target of `make` too."""


def command(name: str, *, passes_on: str | None = None) -> Callable[[_Function], _Function]:
    """Return a decorator that makes a function the command `name`.

    Args:
        name: Name on the command line.
        passes_on: Program that gets the options that the command does not know; the function
            reads them from `typer.Context.args`. None if unknown options are refused.
    """
    if passes_on is None:
        return app.command(name)
    return app.command(
        name,
        epilog=f"Other options and arguments go to `{passes_on}`.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
