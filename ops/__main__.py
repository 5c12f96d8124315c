"""The commands behind `make`."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ops.environment import PROJECT, StackEnvironment

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Stack = Annotated[str, typer.Option("--stack", "-s", help="Name of the stack.")]
_TESTED = ("cli", "cluster", "checks")
"""Groups of tools that the tests need on any machine."""

Passed = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=Passed)
def up(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Provision the stack."""
    from ops.stack import up

    up(StackEnvironment(stack=stack), *ctx.args)


@app.command(context_settings=Passed)
def preview(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Show what `up` would change."""
    from ops.stack import preview

    preview(StackEnvironment(stack=stack), *ctx.args)


@app.command(context_settings=Passed)
def refresh(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Read the real state back."""
    from ops.stack import refresh

    refresh(StackEnvironment(stack=stack), *ctx.args)


@app.command(context_settings=Passed)
def destroy(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Remove what `up` made."""
    from ops.stack import destroy

    destroy(StackEnvironment(stack=stack), *ctx.args)


@app.command()
def outputs(
    stack: Stack = "dev",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the stack's outputs."""
    from ops.stack import outputs, print_outputs

    if json:
        import json as json_module

        print(json_module.dumps(outputs(StackEnvironment(stack=stack)), indent=2))
    else:
        print_outputs(StackEnvironment(stack=stack))


@app.command()
def cluster(stack: Stack = "dev") -> None:
    """Start the local cluster alone."""
    from ops.stack import start_cluster

    start_cluster(StackEnvironment(stack=stack))


@app.command()
def down(stack: Stack = "dev") -> None:
    """Stop the local cluster and drop dev's state."""
    from ops.stack import down

    down(StackEnvironment(stack=stack))


@app.command(context_settings=Passed)
def infer(ctx: typer.Context, stack: Stack = "dev") -> None:
    """Send one call through the gateway of the local cluster."""
    from ops.serving import infer

    infer(StackEnvironment(stack=stack), *ctx.args)


@app.command()
def status(
    stack: Stack = "dev",
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
) -> None:
    """Show pods, calls and the scaler of the local cluster, live."""
    from local.cluster import Cluster
    from ops.stack import read_settings
    from ops.status import show

    environment = StackEnvironment(stack=stack)
    show(Cluster(environment.state_dir), read_settings(environment), once=once)


@app.command()
def env(stack: Stack = "dev") -> None:
    """Print shell commands that set the stack's environment."""
    environment = StackEnvironment(stack=stack)
    for name, value in environment.own_variables().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PATH={shlex.quote(environment.variables()['PATH'])}")


@app.command(context_settings=Passed)
def test(ctx: typer.Context) -> None:
    """Build what the tests need, with progress, then run them all."""
    import toolchain
    from local.serving import machine

    groups: list[str] = [*_TESTED]
    if lacking := machine.lacking():
        print(f"left out: tests/serving, which needs {lacking}", file=sys.stderr)
    else:
        groups.append("serving")
    environment = {**os.environ, "PATH": toolchain.path_with(toolchain.bin_dir(*groups))}
    command = [sys.executable, "-m", "pytest", *ctx.args]
    raise SystemExit(subprocess.run(command, cwd=PROJECT, env=environment).returncode)


@app.command()
def bench(
    repeats: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for JSON and picture.")] = Path("build/bench"),
) -> None:
    """Run the benchmarks; fails where a goal is missed."""
    from ops.bench import provisioning
    from ops.bench.measure import Report

    report = Report()
    provisioning.run(report, repeats)
    report.show()
    report.write(out)
    raise SystemExit(0 if all(goal.met for goal in report.goals) else 1)


def main() -> int:
    """Run a command; what stops it is one message, not a traceback."""
    from pulumi import RunError

    from local.errors import LocalClusterError
    from ops.pulumi import OpsError
    from toolchain import ToolchainError

    try:
        # What a command returns is nothing; what `typer.Exit` carries is its exit code.
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        # Without a command the help was shown, and nothing is left to say.
        if message := error.format_message():
            print(f"error: {message}", file=sys.stderr)
        return error.exit_code
    except (OpsError, LocalClusterError, ToolchainError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return int(stop.code or 0)


if __name__ == "__main__":
    sys.exit(main())
