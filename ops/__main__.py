"""The commands behind `make`."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pulumi import RunError
from typer.exceptions import TyperException

import toolchain
from local.cluster import Cluster
from local.errors import LocalClusterError
from local.serving import machine
from ops import kubectl_environment, serving
from ops import stack as stacks
from ops.environment import PROJECT, StackEnvironment
from ops.pulumi import OpsError
from toolchain import ToolchainError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Stack = Annotated[str, typer.Option("--stack", "-s", help="Name of the stack.")]
_TESTED = ("cli", "cluster", "checks")
"""Groups of tools that the tests need on any machine."""

_SERVING_TESTS = "tests/serving"

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For commands that hand further options to what they run."""


def _register(name: str, command: Callable[..., None], **settings: Any) -> None:
    """Make a function of a stack's environment, and of whatever is passed on, a command."""

    def invoke(ctx: typer.Context, stack: Stack = "dev") -> None:
        command(StackEnvironment(stack=stack), *ctx.args)

    summary = (command.__doc__ or "").partition("\n")[0]
    app.command(name, help=summary, **settings)(invoke)


for _name, _command in {
    "up": stacks.up,
    "preview": stacks.preview,
    "refresh": stacks.refresh,
    "destroy": stacks.destroy,
    "adopt": stacks.adopt,
    "infer": serving.infer,
}.items():
    _register(_name, _command, context_settings=_PASS_ON)
_register("cluster", stacks.start_cluster)
_register("retain", stacks.retain)
_register("down", stacks.down)


@app.command()
def outputs(
    stack: Stack = "dev",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the stack's outputs."""
    environment = StackEnvironment(stack=stack)
    found = stacks.outputs(environment)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        stacks.print_outputs(environment, found)


@app.command()
def drift(stack: Stack = "dev") -> None:
    """Compare the cluster with the stack's state; exits with 2 where they differ."""
    from ops.drift import drift as find

    found = find(StackEnvironment(stack=stack))
    for line in found:
        print(line)
    print(f"{len(found)} differences; `make up` takes them back" if found else "no drift")
    raise SystemExit(2 if found else 0)


@app.command()
def status(
    stack: Stack = "dev",
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
) -> None:
    """Show pods, calls and the scaler of the local cluster, live."""
    from ops.status import show

    environment = StackEnvironment(stack=stack)
    show(Cluster(environment.state_dir), stacks.read_settings(environment), once=once)


@app.command()
def image(name: Annotated[str, typer.Argument(help="Name of the image.")]) -> None:
    """Build one of the local node's images if it is missing; print the path of its archive."""
    from ops.image import archive

    print(archive(name))


@app.command()
def models(
    stack: Stack = "dev",
    out: Annotated[Path | None, typer.Option(help="Folder; build/models if unset.")] = None,
) -> None:
    """Write the stack's model repository as files; print the folder."""
    from ops.models import write_models

    print(write_models(StackEnvironment(stack=stack), out))


@app.command("check-models")
def check_models(
    stack: Stack = "dev",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Model repository; the stack's own if unset.")
    ] = None,
) -> None:
    """Read a model repository as Triton does, without a cluster; say what it could not serve."""
    from ops.models import check

    raise SystemExit(check(StackEnvironment(stack=stack), folder))


@app.command()
def env(stack: Stack = "dev") -> None:
    """Print shell commands that set the stack's environment."""
    environment = StackEnvironment(stack=stack)
    variables = environment.variables()
    stated: dict[str, str | None] = {
        name: variables[name] for name in (*environment.own_variables(), "PATH")
    }
    for name in os.environ.keys() - variables.keys():
        stated[name] = None
    try:
        stated |= kubectl_environment.variables(environment, stacks.read_settings(environment))
    except (OpsError, RunError) as error:
        # Pulumi's part is of use all the same, such as to see what is wrong.
        print(f"kubectl keeps its cluster: {error}", file=sys.stderr)
    for name, value in sorted(stated.items()):
        print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


@app.command(context_settings=_PASS_ON)
def test(ctx: typer.Context) -> None:
    """Build what the tests need, with progress, then run them all, or what pytest is asked for."""
    groups: list[str] = [*_TESTED]
    lacking = machine.lacking()
    if lacking:
        print(f"left out: {_SERVING_TESTS}, which needs {lacking}", file=sys.stderr)
    else:
        groups.append("serving")
    environment = {**os.environ, "PATH": toolchain.path_with(toolchain.bin_dir(*groups))}

    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=PROJECT, env=environment).returncode

    if ctx.args:
        raise SystemExit(run(*ctx.args))
    # One process drives a cluster, which is mostly waited for; what is measured has the machine
    # for itself.
    failed = run("-n", "logical", "--dist", "loadfile", f"--ignore={_SERVING_TESTS}")
    if not lacking:
        failed = run(_SERVING_TESTS) or failed
    raise SystemExit(failed)


class Benchmark(StrEnum):
    """What `bench` can measure."""

    PROVISIONING = "provisioning"
    EVENTFLOW = "eventflow"
    SERVING = "serving"


@app.command()
def bench(
    only: Annotated[
        list[Benchmark] | None, typer.Option(help="One of them; may be given again.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for JSON and pictures.")] = Path("build/bench"),
) -> None:
    """Run the benchmarks; fails where a goal is missed."""
    from ops.bench import issuing, overloaded, provisioning
    from ops.bench.measure import Report

    if only and Benchmark.SERVING in only:
        # Before an hour of others.
        overloaded.require()
    report = Report()
    wanted = set(only or Benchmark)
    try:
        if Benchmark.PROVISIONING in wanted:
            provisioning.run(report, repeats)
        if Benchmark.EVENTFLOW in wanted:
            issuing.run(report, repeats)
        if Benchmark.SERVING in wanted:
            if lacking := machine.lacking():
                # Pods that run are what `up` is held against kubectl on.
                report.leave_out("serving, and the goal of up against kubectl", lacking)
            else:
                overloaded.run(report, repeats, out)
    finally:
        # An hour's figures outlive a failure of the last one.
        report.show()
        report.write(out)
    raise SystemExit(0 if all(goal.met for goal in report.goals) else 1)


def main() -> int:
    """Run a command; what stops it is one message, not a traceback."""
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
