"""Provisions, previews and removes one stack."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from rich.console import Console

from components.state.ownership import ADOPT_VARIABLE
from config.deprecated import rewrite
from config.inventory import made_namespaces
from config.load import parse, read_stack_file
from config.sections.platform import LOCAL_CONTEXT, LOCAL_KUBECONFIG, LocalPlatform
from config.settings import Settings
from local_cluster.serving import machine
from ops.errors import OpsError
from ops.stack import pulumi, recovery, rollouts, serving, teardown
from ops.stack import retain as contents
from ops.stack.cluster_spec import cluster_of, cluster_spec
from ops.stack.environment import StackEnvironment
from ops.stack.protection import require_unprotected
from ops.stack.resource_tree import resource_tree
from ops.stack.unfinished import pending_advice

console = Console(highlight=False, soft_wrap=True)

_Rest = ParamSpec("_Rest")
_Result = TypeVar("_Result")


def exclusive(
    command: Callable[Concatenate[StackEnvironment, _Rest], _Result],
) -> Callable[Concatenate[StackEnvironment, _Rest], _Result]:
    """Make a command wait until no other command works on dev."""

    def waiting(holder: str) -> None:
        console.print(f"waiting for another command that works on dev (process {holder})")

    @functools.wraps(command)
    def wrapped(env: StackEnvironment, *args: _Rest.args, **kwargs: _Rest.kwargs) -> _Result:
        with recovery.exclusive(env, waiting):
            return command(env, *args, **kwargs)

    return wrapped


def prepare(
    env: StackEnvironment, *, reshape: bool = False, runs_program: bool = False
) -> Settings:
    """Check the parameters, start the local cluster if needed, recover the state, select the stack.

    Args:
        env: The stack.
        reshape: True if a running local cluster may change with the parameters and `LOCAL`; see
            `Cluster.up`.
        runs_program: True if the program runs next: it prints the warnings about the parameters.

    Raises:
        config.load.Refused: The parameters cannot work; nothing was changed.
        OpsError: There is no such stack, its backend does not open, or its state holds resources
            on another cluster while the parameters name the local one.
    """
    settings = read_settings(env, warns=not runs_program)
    local = env.is_local(settings)
    if env.is_dev:
        if local:
            recovery.require_local(env)
            spec = cluster_spec(settings)
            cluster_id = cluster_of(env).up(spec, reshape=reshape).cluster_id
            if recovery.match_cluster(env, cluster_id):
                console.print("dropped the state of a local cluster that no longer exists")
                recovery.state_lost(env).touch()
        recovery.end_orphans(env)
        if recovery.release_dead_locks(env):
            console.print("released the lock of a dead process")
        if recovery.restore_checkpoint(env):
            console.print("restored the state that an interrupted run had truncated")
            if not recovery.has_checkpoint(env):
                recovery.state_lost(env).touch()
    if not (env.is_dev and recovery.has_checkpoint(env)):
        pulumi.select_stack(env)
    if not env.is_dev and (advice := pending_advice(env.stack, pulumi.deployment(env))):
        console.print(advice, markup=False)
    if env.is_dev and recovery.keep_contents(env):
        console.print("made the state keep the models of an earlier release")
    if local and recovery.clear_pending(env):
        console.print("cleared the pending operations of an interrupted run")
    return settings


def read_settings(env: StackEnvironment, *, warns: bool = True) -> Settings:
    """Read and check the stack's parameters.

    Args:
        env: The stack.
        warns: True to warn of deprecated forms.

    Raises:
        config.load.Refused: The parameters cannot work.
        OpsError: There is no such stack.
    """
    if not env.stack_file.exists():
        known = sorted(file.name.split(".")[1] for file in env.project.glob("Pulumi.*.yaml"))
        raise OpsError(f"there is no {env.stack_file.name}; STACK names one of {', '.join(known)}")
    stated = read_stack_file(env.stack_file)
    settings = parse(stated, source=f"stack {env.stack}")
    for problem in rewrite(stated).warnings if warns else ():
        _warn_once(str(problem))
    return settings


@functools.cache
def _warn_once(message: str) -> None:
    # A command reads the parameters several times; its output may be another program's input.
    sys.stderr.write(f"warning: {message}\n")


def start_cluster(env: StackEnvironment) -> None:
    """Start the local cluster, or update the running one to the parameters."""
    cluster_of(env).up(cluster_spec(read_settings(env)))


@exclusive
def up(env: StackEnvironment, *arguments: str) -> None:
    """Provision the stack; then print its resources, its outputs and the next step."""
    _provision(env, prepare(env, reshape=True, runs_program=True), *arguments)


def _provision(env: StackEnvironment, settings: Settings, *arguments: str) -> None:
    taking = _adopting(env, settings) if _lost_its_state(env, settings) else env
    # A refused object must not keep others away, such as the scaler.
    pulumi.change(taking, settings, "up", "--continue-on-error", "--suppress-outputs", *arguments)
    recovery.state_lost(env).unlink(missing_ok=True)
    held = pulumi.deployment(env)
    with teardown.open_on(env, settings, held) as on_cluster:
        # Namespaces of removed entries: Pulumi leaves them.
        on_cluster.remove_namespaces(console.print, but=made_namespaces(settings).values())
    console.print()
    console.print(resource_tree(held["resources"]))
    if serving.serves(env, settings):
        serving.wait_for_scaler(env, settings, console.print)
        serving.wait_for_gateway(env, settings, console.print)
    print_outputs(env, pulumi.outputs(held))
    print_next_step(env, settings)


@exclusive
def preview(env: StackEnvironment, *arguments: str) -> None:
    """Show the changes that `up` would make."""
    prepare(env, runs_program=True)
    pulumi.run(env, "preview", "--stack", env.stack, "--diff", *arguments)


@exclusive
def wait(env: StackEnvironment) -> None:
    """Wait until every Deployment is rolled out.

    Raises:
        OpsError: `up` has not applied all parameters, or a rollout cannot succeed.
    """
    rollouts.wait(
        env, prepare(env, runs_program=True), lambda text: console.print(text, markup=False)
    )
    console.print(f"{env.stack} is rolled out")


@exclusive
def refresh(env: StackEnvironment, *arguments: str) -> None:
    """Read the real resources into Pulumi's state."""
    pulumi.change(env, prepare(env), "refresh", *arguments)


@exclusive
def destroy(env: StackEnvironment, *arguments: str) -> None:
    """Remove the stack's resources; Pulumi asks first, except on the local cluster.

    Namespaces are deleted last, one by one and without Pulumi: Pulumi would delete them with the
    objects of others in them.

    Raises:
        OpsError: The stack is protected; or the cluster does not answer, so the objects of others
            in it are unknown.
    """
    settings = prepare(env)
    state = pulumi.deployment(env)
    require_unprotected(env.stack, state)
    with teardown.open_on(env, settings, state) as on_cluster:
        on_cluster.prepare(console.print)
        pulumi.change(env, settings, "destroy", *arguments)
        if pulumi.deployment(env).get("resources"):
            # The arguments asked for a preview, or for a part of the stack.
            return
        if not on_cluster.remove_namespaces(console.print):
            raise SystemExit(1)


@exclusive
def adopt(env: StackEnvironment, *arguments: str) -> None:
    """Take over the objects of a stack of this name whose state is lost; then run `up`."""
    settings = prepare(env, runs_program=True)
    _provision(_adopting(env, settings, required=True), settings, *arguments)


def _lost_its_state(env: StackEnvironment, settings: Settings) -> bool:
    return env.is_local(settings) and recovery.state_lost(env).exists()


def _adopting(
    env: StackEnvironment, settings: Settings, *, required: bool = False
) -> StackEnvironment:
    """Return the environment of a run that takes over the objects of a lost state."""
    identities = teardown.adoptable(env, settings, required=required)
    if not identities:
        return env
    console.print(f"adopting the objects of {env.stack} ({identities})")
    return replace(env, extra={**env.extra, ADOPT_VARIABLE: identities})


@exclusive
def retain(env: StackEnvironment) -> None:
    """Make the state keep the models of an earlier release."""
    pulumi.select_stack(env)
    done = contents.retain(env)
    console.print("the state keeps them now" if done else "the state already keeps them")


@exclusive
def down(env: StackEnvironment) -> None:
    """Stop the local cluster and delete dev's state.

    Raises:
        OpsError: The stack is not dev, so it has no local cluster; or dev's state holds resources
            on another cluster.
    """
    if not env.is_dev:
        raise OpsError("make down stops the local cluster of dev; use make destroy")
    recovery.require_droppable(env)
    recovery.end_orphans(env)
    cluster_of(env).down()
    recovery.forget(env)
    console.print("the local cluster is stopped and dev's state is dropped")


def outputs(env: StackEnvironment) -> dict[str, object]:
    """Return the stack's outputs, by name.

    Raises:
        OpsError: Dev is not provisioned, or the stack's backend does not open.
    """
    if env.is_dev and not recovery.has_checkpoint(env):
        raise OpsError("dev is not provisioned yet; run: make up")
    return pulumi.outputs(pulumi.deployment(env))


def print_outputs(env: StackEnvironment, found: Mapping[str, object]) -> None:
    """Print one output a line, untruncated, so that it can be copied."""
    width = max(map(len, found), default=0)
    console.print(f"\noutputs of {env.stack}")
    for name, value in sorted(found.items()):
        console.print(f"  {name.ljust(width)}  {value}", markup=False)


def _serving_hint() -> str:
    missing = machine.missing_prerequisites()
    if missing and sys.platform == "linux" and os.geteuid() == 0:
        return f"LOCAL=serving does; it needs {missing}."
    return "LOCAL=serving, on Linux as root, does."


def print_next_step(env: StackEnvironment, settings: Settings) -> None:
    """Print the commands that show the provisioned stack."""
    if serving.serves(env, settings):
        serving.infer_or_say(env, settings, console.print)
        console.print(serving.next_step(env, settings))
    # By kind: only the embedded cluster is simulated.
    elif isinstance(settings.platform, LocalPlatform):
        first = settings.inference[0]
        console.print(
            "\nThe cluster is simulated: scheduling and rollouts are real, but its pods run no"
            f"\ncontainers, so nothing answers calls. ({_serving_hint()})"
            "\nLook at it:"
            f"\n  kubectl --kubeconfig {LOCAL_KUBECONFIG} --context {LOCAL_CONTEXT}"
            f" -n {first.namespace} get pods,svc,scaledobject"
            "\nNext: change a parameter in Pulumi.dev.yaml, then: make preview; make up"
        )
    else:
        console.print("\nNext: make outputs STACK=" + env.stack)
