"""Provisioning, previewing and removing one stack."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from rich.console import Console

from components.ownership import ADOPT_VARIABLE
from config.checks.names import made_namespaces
from config.load import parse, read_stack_file
from config.platform import LOCAL_CONTEXT, LOCAL_KUBECONFIG, LocalPlatform
from config.settings import Settings
from local.objects import wait_for
from local.serving import machine
from ops.errors import OpsError
from ops.stack import pulumi, recovery, serving, teardown
from ops.stack import retain as contents
from ops.stack.cluster_spec import cluster_of, cluster_spec
from ops.stack.environment import StackEnvironment
from ops.stack.resource_tree import resource_tree
from ops.stack.unfinished import pending_advice

console = Console(highlight=False, soft_wrap=True)

_Rest = ParamSpec("_Rest")
_Result = TypeVar("_Result")


def exclusive(
    command: Callable[Concatenate[StackEnvironment, _Rest], _Result],
) -> Callable[Concatenate[StackEnvironment, _Rest], _Result]:
    """Make a command wait until no other works on dev."""

    def waiting(holder: str) -> None:
        console.print(f"waiting for another command that is at work on dev (process {holder})")

    @functools.wraps(command)
    def wrapped(env: StackEnvironment, *args: _Rest.args, **kwargs: _Rest.kwargs) -> _Result:
        with recovery.exclusive(env, waiting):
            return command(env, *args, **kwargs)

    return wrapped


def prepare(env: StackEnvironment, *, reshape: bool = False) -> Settings:
    """Check the parameters, start the local cluster where the stack needs it, heal, select.

    Args:
        env: The stack.
        reshape: Whether a local cluster that is there may change with the parameters and `LOCAL`;
            see `Cluster.up`.

    Raises:
        config.load.Refused: The parameters cannot work; nothing was touched.
        OpsError: There is no such stack, its backend does not open, or its state holds what
            is on another cluster than the local one that it is to go to.
    """
    settings = read_settings(env)
    local = env.is_local(settings)
    if env.is_dev:
        if local:
            recovery.require_local(env)
            spec = cluster_spec(settings)
            cluster_id = cluster_of(env).up(spec, reshape=reshape).cluster_id
            if recovery.match_cluster(env, cluster_id):
                console.print("dropped the state of a cluster that is gone")
                recovery.state_lost(env).touch()
        recovery.end_orphans(env)
        if recovery.release_dead_locks(env):
            console.print("released a lock that a dead process had left")
        if recovery.restore_checkpoint(env):
            console.print("restored the state that an interrupted run had cut short")
            if not recovery.has_checkpoint(env):
                recovery.state_lost(env).touch()
    if not (env.is_dev and recovery.has_checkpoint(env)):
        pulumi.select_stack(env)
    if not env.is_dev and (advice := pending_advice(env.stack, pulumi.deployment(env))):
        console.print(advice, markup=False)
    if env.is_dev and recovery.keep_contents(env):
        console.print("let the state keep the models that an earlier release made")
    if local and recovery.clear_pending(env):
        console.print("settled what an interrupted run had left open")
    return settings


def read_settings(env: StackEnvironment) -> Settings:
    """The stack's parameters, checked.

    Raises:
        config.load.Refused: They cannot work.
        OpsError: There is no such stack.
    """
    if not env.stack_file.exists():
        known = sorted(file.name.split(".")[1] for file in env.project.glob("Pulumi.*.yaml"))
        raise OpsError(f"there is no {env.stack_file.name}; STACK names one of {', '.join(known)}")
    return parse(read_stack_file(env.stack_file), source=f"stack {env.stack}")


def start_cluster(env: StackEnvironment) -> None:
    """Start the local cluster, or bring the running one in line with the parameters."""
    cluster_of(env).up(cluster_spec(read_settings(env)))


@exclusive
def up(env: StackEnvironment, *arguments: str) -> None:
    """Provision the stack; then say what there is and what comes next."""
    _provision(env, prepare(env, reshape=True), *arguments)


def _provision(env: StackEnvironment, settings: Settings, *arguments: str) -> None:
    taking = _adopting(env, settings) if _lost_its_state(env, settings) else env
    # One object that is refused must not keep others away, such as the scaler.
    pulumi.change(taking, settings, "up", "--continue-on-error", "--suppress-outputs", *arguments)
    recovery.state_lost(env).unlink(missing_ok=True)
    held = pulumi.deployment(env)
    with teardown.open_on(env, settings, held) as on_cluster:
        # Of entries that were removed; Pulumi leaves their namespaces.
        on_cluster.remove_namespaces(console.print, but=made_namespaces(settings).values())
    console.print()
    console.print(resource_tree(held["resources"]))
    if serving.serves(env, settings):
        serving.wait_for_scaler(env, settings, console.print)
        # After a node has started again Kubernetes takes its pods for ready that are not yet.
        address = serving.gateway_address(env)
        wait_for(lambda: serving.answers(address), "the gateway", console.print)
    print_outputs(env, pulumi.outputs(held))
    print_next_step(env, settings)


@exclusive
def preview(env: StackEnvironment, *arguments: str) -> None:
    """Show what `up` would change."""
    prepare(env)
    pulumi.run(env, "preview", "--stack", env.stack, "--diff", *arguments)


@exclusive
def refresh(env: StackEnvironment, *arguments: str) -> None:
    """Read the stack's real state back into Pulumi's."""
    pulumi.change(env, prepare(env), "refresh", *arguments)


@exclusive
def destroy(env: StackEnvironment, *arguments: str) -> None:
    """Remove what `up` made; Pulumi asks, except on the local cluster.

    Namespaces go last, by themselves: Pulumi would delete them with all that others keep in them.

    Raises:
        OpsError: The cluster cannot be asked what others keep in it.
    """
    settings = prepare(env)
    with teardown.open_on(env, settings, pulumi.deployment(env)) as on_cluster:
        on_cluster.keep_what_others_own(console.print)
        pulumi.change(env, settings, "destroy", *arguments)
        if pulumi.deployment(env).get("resources"):
            # A preview, or a part of the stack.
            return
        if not on_cluster.remove_namespaces(console.print):
            raise SystemExit(1)


@exclusive
def adopt(env: StackEnvironment, *arguments: str) -> None:
    """Take over the objects of a stack of this name whose state is lost; then as `up`."""
    settings = prepare(env)
    _provision(_adopting(env, settings, required=True), settings, *arguments)


def _lost_its_state(env: StackEnvironment, settings: Settings) -> bool:
    return env.is_local(settings) and recovery.state_lost(env).exists()


def _adopting(
    env: StackEnvironment, settings: Settings, *, required: bool = False
) -> StackEnvironment:
    """Return the environment of a run that takes over what a lost state of the stack held."""
    identities = teardown.adoptable(env, settings, required=required)
    if not identities:
        return env
    console.print(f"adopting the objects of {env.stack} ({identities})")
    return replace(env, extra={**env.extra, ADOPT_VARIABLE: identities})


@exclusive
def retain(env: StackEnvironment) -> None:
    """Let the state keep the models that an earlier release made."""
    pulumi.select_stack(env)
    done = contents.retain(env)
    console.print("the state keeps them now" if done else "the state keeps them already")


@exclusive
def down(env: StackEnvironment) -> None:
    """Stop the local cluster and drop dev's state.

    Raises:
        OpsError: The stack is not dev, so nothing of it is local; or dev's state holds what
            is on another cluster.
    """
    if not env.is_dev:
        raise OpsError("make down stops the local cluster of dev; use make destroy")
    recovery.require_droppable(env)
    recovery.end_orphans(env)
    cluster_of(env).down()
    recovery.forget(env)
    console.print("the local cluster is stopped and dev's state is dropped")


def outputs(env: StackEnvironment) -> dict[str, object]:
    """The stack's outputs, by name.

    Raises:
        OpsError: Dev is not provisioned, or the stack's backend does not open.
    """
    if env.is_dev and not recovery.has_checkpoint(env):
        raise OpsError("dev is not provisioned yet; run: make up")
    return pulumi.outputs(pulumi.deployment(env))


def print_outputs(env: StackEnvironment, found: Mapping[str, object]) -> None:
    """Show the outputs, a line each, whole: they are there to be copied."""
    width = max(map(len, found), default=0)
    console.print(f"\noutputs of {env.stack}")
    for name, value in sorted(found.items()):
        console.print(f"  {name.ljust(width)}  {value}", markup=False)


def _what_serves() -> str:
    lacking = machine.lacking()
    if lacking and sys.platform == "linux" and os.geteuid() == 0:
        return f"LOCAL=serving does; it needs {lacking}."
    return "LOCAL=serving, on Linux as root, does."


def print_next_step(env: StackEnvironment, settings: Settings) -> None:
    """Say how to look at what was made."""
    if serving.serves(env, settings):
        serving.infer_or_say(env, console.print)
        console.print(serving.next_step(env))
    elif isinstance(settings.platform, LocalPlatform):
        first = settings.inference[0]
        console.print(
            "\nThe cluster is simulated: scheduling and roll-outs are real, but its pods run no"
            f"\ncontainers, so nothing answers calls. ({_what_serves()})"
            "\nLook at it:"
            f"\n  kubectl --kubeconfig {LOCAL_KUBECONFIG} --context {LOCAL_CONTEXT}"
            f" -n {first.namespace} get pods,svc,scaledobject"
            "\nNext: change a parameter in Pulumi.dev.yaml, then: make preview; make up"
        )
    else:
        console.print("\nNext: make outputs STACK=" + env.stack)
