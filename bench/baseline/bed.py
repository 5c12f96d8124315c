"""Test bed of the baseline in the local cluster that serves."""

import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lightkube import codecs
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace

from bench.baseline.documents import Variant
from bench.baseline.workloads import NAMESPACE, Parts
from bench.overload.overload import OverloadBed
from bench.overload.stack_bed import stack_bed
from components.gateway.envoy.stats import CLUSTER_LABEL
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.objects import exists, wait_for
from local_cluster.serving.node import Node
from ops.stack.cluster_spec import PROMETHEUS_PORT, cluster_of, forwards
from ops.stack.environment import StackEnvironment
from ops.stack.serving import answers, wait_for_scaler

Say = Callable[[str], None]


@contextmanager
def baseline_bed(
    env: StackEnvironment, settings: Settings, variant: Variant, say: Say = print
) -> Generator[OverloadBed]:
    """Run a variant of the baseline beside a stack that serves; remove it afterwards.

    Args:
        env: The stack, whose local cluster runs.
        settings: Its parameters; the baseline runs with its images and its sample model.
        variant: The variant.
        say: Called with one line of progress at a time.

    Raises:
        LocalClusterError: It did not become ready, or was not removed, in time.
        OpsError: Its autoscaler did not become ready in time.
    """
    parts = Parts.of(settings)
    cluster = cluster_of(env)
    client: Any = cluster.client()
    # Remove leftovers of a killed run.
    remove(client, say)
    try:
        say(f"{variant.title}: applying it in the namespace {NAMESPACE}")
        for manifest in parts.manifests(variant):
            client.apply(codecs.from_dict(manifest), force=True)
        _wait_for_pods(client, parts, say)
        wait_for_scaler(env, parts.settings, say)
        watch = forwards(parts.settings)[PROMETHEUS_PORT]
        with _forwarded(cluster, watch) as prometheus:
            stack = stack_bed(env, parts.settings, variant.title)
            found = _described(stack, variant, f"http://{prometheus}")
            wait_for(lambda: answers(found.address, found.enter), variant.title, say)
            yield found
    finally:
        remove(client, say)


def _described(bed: OverloadBed, variant: Variant, prometheus: str) -> OverloadBed:
    """Return a test bed with another Prometheus, and with the variant's own label in queries."""

    def labelled(query: str) -> str:
        return query.replace(f"{{{CLUSTER_LABEL}=", f"{{{variant.cluster_label}=")

    asked = bed.queries
    return replace(
        bed,
        prometheus=prometheus,
        # Keep the autoscaler's own query, which may find nothing.
        queries=replace(
            asked,
            in_flight=labelled(asked.in_flight),
            refusals=labelled(asked.refusals),
            routed=labelled(asked.routed),
        ),
    )


def remove(client: Any, say: Say = print) -> None:
    """Remove all variants.

    Raises:
        LocalClusterError: The namespace was not removed in time.
    """
    if exists(client, Namespace, NAMESPACE):
        client.delete(Namespace, NAMESPACE)
        wait_for(
            lambda: not exists(client, Namespace, NAMESPACE),
            f"the end of the namespace {NAMESPACE}",
            say,
        )


def _wait_for_pods(client: Any, parts: Parts, say: Say) -> None:
    stack = parts.stack

    def is_whole(name: str) -> bool:
        found: Any = client.get(Deployment, name, namespace=NAMESPACE)
        return bool(found.status) and found.status.readyReplicas == found.spec.replicas

    for name in (parts.prometheus.name, stack.gateway_name, stack.deployment_name):
        wait_for(lambda name=name: is_whole(name), f"{name} in {NAMESPACE}", say)


@contextmanager
def _forwarded(cluster: Cluster, target: str) -> Generator[str]:
    """Forward a loopback port to a `host:port` of the test bed; yield the outer `host:port`."""
    port = _free_port()
    node = Node(paths=cluster.paths, report=print)
    process = subprocess.Popen(
        [sys.executable, *node.forwarding([f"{port}={target}"])], cwd="/", stdin=subprocess.DEVNULL
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]
