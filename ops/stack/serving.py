"""The local cluster that serves: the gateway's address, one inference, readiness of all parts."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightkube import generic_resource
from lightkube.core.exceptions import ApiError
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

from config.settings import Settings
from eventflow.outcomes import Outcome
from local_cluster.objects import holds, wait_for
from ops.errors import OpsError
from ops.stack.cluster_spec import GATEWAY_PORT, PROMETHEUS_PORT, cluster_of
from ops.stack.environment import PROJECT, StackEnvironment

READY_SECONDS = 120.0
"""Longest time from the scaler's declaration to its first metric: two polls of KEDA and two syncs
of the HPA take 60 s."""

_LOOK_SECONDS = 0.2

_resources: Any = generic_resource
ScaledObject = _resources.create_namespaced_resource(
    "keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"
)


def hpa_name(scaler_name: str) -> str:
    """Return the name of the HorizontalPodAutoscaler that KEDA makes of a ScaledObject."""
    return f"keda-hpa-{scaler_name}"


def require_serving(env: StackEnvironment) -> None:
    """Refuse a stack that is not on a local cluster that serves.

    Raises:
        OpsError: The stack is not on one; the message says how to start it.
    """
    if _port(env, GATEWAY_PORT) is None:
        raise OpsError(
            "nothing serves here: the local cluster does not run, or is simulated. "
            "Run `make up LOCAL=serving` (Linux, as root)."
        )


def gateway_address(env: StackEnvironment) -> str:
    """Return `host:port` of the gateway, from outside the node's namespace.

    Raises:
        OpsError: The stack is not on a local cluster that serves.
    """
    require_serving(env)
    return f"127.0.0.1:{_port(env, GATEWAY_PORT)}"


def prometheus_address(env: StackEnvironment) -> str | None:
    """`host:port` of the stack's Prometheus, likewise; None where nothing serves."""
    port = _port(env, PROMETHEUS_PORT)
    return None if port is None else f"127.0.0.1:{port}"


def serves(env: StackEnvironment, settings: Settings) -> bool:
    """Return True if the stack's pods run containers, on this machine."""
    return env.is_local(settings) and _port(env, GATEWAY_PORT) is not None


def _port(env: StackEnvironment, role: str) -> int | None:
    record = cluster_of(env).record
    return record.ports.get(role) if record else None


def infer(env: StackEnvironment, settings: Settings, *arguments: str) -> None:
    """Send one call through the gateway and print the answer.

    Raises:
        OpsError: Nothing serves, or the call got no answer; the message names the options that
            callers of this gateway need.
    """
    address, options = gateway_address(env), caller_options(settings)
    if subprocess.run(_call(address, *arguments), cwd=PROJECT).returncode:
        needed = f"callers need: make infer ARGS='{options}'; " if options else ""
        raise OpsError(
            f"the call to {address} got no answer; {needed}show the stack with: make status"
        )


def caller_options(settings: Settings) -> str:
    """Return the options of the load client that the first stack's gateway demands of callers.

    They are empty while it takes plain text and needs no token.
    """
    stack = settings.inference[0]
    tls, callers = stack.gateway.tls, stack.gateway.callers
    options: list[str] = []
    if tls.is_on and not tls.accept_plaintext:
        options += ["--ca <file>", f"--server-name {stack.server_name}"]
        if tls.clients and tls.clients.required:
            options += ["--cert <file>", "--key <file>"]
    if callers and callers.jwt and callers.jwt.required:
        options.append("--token-file <file>")
    return " ".join(options)


def wait_for_gateway(env: StackEnvironment, settings: Settings, say: Callable[[str], None]) -> None:
    """Wait until a call through the gateway gets an answer.

    After a restart of the node Kubernetes still reports its pods as ready. There is no wait where
    callers need certificates or tokens: only the user has these.
    """
    if not caller_options(settings):
        address = gateway_address(env)
        wait_for(lambda: answers(address), "the gateway", say)


def infer_or_say(env: StackEnvironment, settings: Settings, say: Callable[[str], None]) -> None:
    """Send one call and print the answer, or explain why there is none.

    The models may take another call, and callers may need certificates or tokens.

    Raises:
        OpsError: Nothing serves, or no model server answered.
    """
    if caller_options(settings):
        say("No call was sent: callers of this gateway need certificates or tokens.")
        return
    try:
        infer(env, settings)
    except OpsError:
        if not answers(gateway_address(env)):
            raise
        say("The call is for the sample model. To call yours, see: make infer ARGS=--help")


def answers(address: str, enter: Sequence[str] = ()) -> bool:
    """Return True if a model server answers a call, even that it has no such model.

    Args:
        address: `host:port` of the gateway.
        enter: Beginning of a command line that runs a client in the gateway's network.
    """
    command = [*enter, *_call(address)]
    called = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    # Errors of the gateway and of the network are other outcomes.
    return not called.returncode or called.stdout.startswith(f"{Outcome.OTHER} ")


def _call(address: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "eventflow", "infer", address, *arguments]


def wait_for_scaler(env: StackEnvironment, settings: Settings, say: Callable[[str], None]) -> None:
    """Wait until KEDA and the HPA see the load of every stack; Pulumi does not wait for them.

    Raises:
        OpsError: They do not in time; the message names the missing condition.
    """
    client: Any = cluster_of(env).client()
    for stack in settings.inference:
        name, namespace = stack.scaler_name, stack.namespace
        deadline = time.monotonic() + READY_SECONDS
        say(f"waiting until the scaler {name} sees its metric")
        while missing := _missing(client, name, namespace):
            if time.monotonic() > deadline:
                raise OpsError(f"the scaler {name} in {namespace} is not ready: {missing}")
            time.sleep(_LOOK_SECONDS)


def _missing(client: Any, name: str, namespace: str) -> str:
    """Return the first condition that an autoscaler does not meet; empty if it works."""
    try:
        scaled: Any = client.get(ScaledObject, name, namespace=namespace)
        hpa: Any = client.get(HorizontalPodAutoscaler, hpa_name(name), namespace=namespace)
    except ApiError as error:
        return str(error)
    status: dict[str, Any] = scaled.status or {}
    conditions: list[dict[str, str]] = status.get("conditions", [])
    ready = [condition for condition in conditions if condition["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        return f"ScaledObject: {ready[0].get('message', '') if ready else 'no condition yet'}"
    metrics: list[Any] = (hpa.status and hpa.status.currentMetrics) or []
    if not any(metric.external and metric.external.current.averageValue for metric in metrics):
        return "HPA: it shows no metric yet"
    return "" if holds(hpa, "ScalingActive") else "HPA: scaling is not active yet"


def next_step(env: StackEnvironment, settings: Settings) -> str:
    """Return the next steps with a stack that serves, as text."""
    gateway, options = settings.inference[0].gateway, caller_options(settings)
    tls = "no TLS" if not gateway.tls.is_on else "TLS"
    if gateway.tls.is_on and gateway.tls.accept_plaintext:
        tls = "TLS or plain text"
    infer_options, burst_options = (f" ARGS='{options}'", f" {options}") if options else ("", "")
    return (
        f"\nIt serves. The gateway is at {gateway_address(env)} (gRPC, KServe v2, {tls}), "
        f"Prometheus at http://{prometheus_address(env)}."
        f"\nSend one call:  make infer{infer_options}"
        "\nWatch it:       make status"
        "\nSend a burst:   .venv/bin/python -m eventflow burst "
        f"{gateway_address(env)}{burst_options}"
        "\nNext: change a parameter in Pulumi.dev.yaml, then: make preview; make up"
    )
