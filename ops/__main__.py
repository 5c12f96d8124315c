"""`python -m ops COMMAND`: the commands behind `make`."""

import importlib
import pkgutil
import sys

import typer
from pulumi import RunError
from typer.exceptions import TyperException

from local_cluster.errors import LocalClusterError
from local_cluster.toolchain import ToolchainError
from ops import commands
from ops.cli import app
from ops.errors import OpsError


def register(wanted: str | None = None) -> None:
    """Import the module of a command, or of all commands if there is no such command."""
    modules = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    named = wanted.replace("-", "_") if wanted else None
    for name in [named] if named in modules else modules:
        importlib.import_module(f"{commands.__name__}.{name}")


def main() -> int:
    """Run a command; print one message, not a traceback, if an error stops it."""
    register(next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None))
    try:
        # A command returns None; for `typer.Exit` typer returns the exit code.
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        # Without a command typer has printed the help, and the message is empty.
        if message := error.format_message():
            print(f"error: {message}", file=sys.stderr)
        return error.exit_code
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (LocalClusterError, ToolchainError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run the command again to continue", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return int(stop.code or 0)


if __name__ == "__main__":
    sys.exit(main())
