"""Time in which gateways follow the fleet: to a replica that gets ready, from one that stops."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from lightkube.resources.core_v1 import Pod

from bench.api_proxy import pods_by_proxy
from bench.overload.burst_process import BurstProcess
from bench.report import BenchReport
from components.gateway.envoy.admin import METRICS_PATH
from components.gateway.envoy.stats import MEMBERSHIP_HEALTHY, cluster_selector
from config.sections.inference import InferenceStack
from config.selectors import gateway_selector, triton_selector
from eventflow.outcomes import Outcome
from ops.errors import OpsError
from ops.stack.cluster_spec import cluster_of
from ops.stack.environment import StackEnvironment
from ops.stack.serving import gateway_address

ROUNDS = 7
"""Replicas that are deleted, one after another."""

START_SECONDS, START_MEDIAN_SECONDS, STOP_SECONDS = 1.0, 0.3, 1.0
"""Goals: longest and median time from Ready to the first call, and longest from deletion to the
last one."""

_WINDOW = 2
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 180.0


@dataclass
class _Ready:
    """Times at which the API server told of the ready replicas, by name; watched in a thread."""

    at: dict[str, float] = field(default_factory=dict[str, float])

    def watch(self, client: Any, stack: InferenceStack) -> None:
        """Watch the replicas of a stack until the program ends."""
        selected = triton_selector(stack)
        changes: Any = client.watch(Pod, namespace=stack.namespace, labels=selected)
        for _, pod in changes:
            conditions: list[Any] = pod.status.conditions or []
            if pod.metadata.deletionTimestamp:
                self.at.pop(pod.metadata.name, None)
            elif any(found.type == "Ready" and found.status == "True" for found in conditions):
                self.at.setdefault(pod.metadata.name, time.time())


class _Gateways:
    """The gateways' own count of replicas that get calls."""

    def __init__(self, pods: str, stack: InferenceStack, names: list[str]) -> None:
        port = stack.gateway.ops_port
        self._pages = [f"{pods}/{name}:{port}/proxy{METRICS_PATH}" for name in names]
        self._name = re.compile(
            re.escape(MEMBERSHIP_HEALTHY)
            + r"\{[^}]*"
            + re.escape(cluster_selector(stack.envoy_cluster).strip("{}"))
            + r"[^}]*\} (\d+)"
        )
        self._client = httpx2.Client(trust_env=False, timeout=10)

    def count(self, page: str) -> int:
        """Return the count of one gateway."""
        found = self._name.search(self._client.get(page, params={"filter": "membership"}).text)
        if not found:
            raise OpsError("a gateway does not say how many replicas get calls")
        return int(found[1])

    def until_all(self, count: int) -> float:
        """Wait until each gateway sends calls to so many replicas; return the time of the last."""
        return _until(lambda: all(self.count(page) == count for page in self._pages))


def _until(holds: Callable[[], bool]) -> float:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise OpsError(f"the fleet did not settle within {_PATIENCE_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)
    return time.time()


def follow(report: BenchReport, env: StackEnvironment, stack: InferenceStack, folder: Path) -> None:
    """Delete replicas under a light load, and time how the gateways follow.

    Args:
        report: Report that gets the figures and goals.
        env: Environment of a stack that serves on the local cluster.
        stack: Its first inference stack, whose fleet is at its smallest.
        folder: Folder for the client's files.

    Raises:
        OpsError: The fleet did not settle.
    """
    cluster = cluster_of(env)
    client: Any = cluster.client()
    ready, least = _Ready(), stack.autoscaler.min_replicas
    # With a client of its own: one that threads share crashed the interpreter.
    watch = threading.Thread(target=ready.watch, args=(cluster.client(), stack), daemon=True)
    watch.start()
    listed = client.list(Pod, namespace=stack.namespace, labels=gateway_selector(stack))
    names = [pod.metadata.name for pod in listed]
    starts: list[float] = []
    stops: list[float] = []
    with pods_by_proxy(cluster.kubeconfig, env.variables(), stack.namespace) as pods:
        gateways = _Gateways(pods, stack, names)
        gateways.until_all(least)
        address = gateway_address(env)
        with BurstProcess.start(address, window=_WINDOW, folder=folder) as load:
            for _ in range(ROUNDS):
                _until(lambda: len(ready.at) >= least)
                victim = min(ready.at, key=lambda name: ready.at[name])
                before = set(ready.at)
                deleted_at = time.time()
                client.delete(Pod, victim, namespace=stack.namespace)
                stops.append(gateways.until_all(least - 1) - deleted_at)
                routed_at = gateways.until_all(least)
                _until(lambda known=before: bool(ready.at.keys() - known))
                (new,) = ready.at.keys() - before
                starts.append(routed_at - ready.at[new])
            outcomes = load.stop()["outcomes"]
    start = report.sample("first call to a replica, after it is Ready", "s", starts)
    stop = report.sample("last call to a replica, after its deletion", "s", stops)
    # The client cancels what it still holds when it is stopped.
    ends = (Outcome.OK, Outcome.CANCELLED)
    lost = sum(count for outcome, count in outcomes.items() if outcome not in ends)
    report.sample("calls lost meanwhile", "calls", [float(lost)])
    report.at_most("first call after Ready, longest", max(start.values), START_SECONDS, "s")
    report.at_most("first call after Ready, median", start.median, START_MEDIAN_SECONDS, "s")
    report.at_most("last call after deletion, longest", max(stop.values), STOP_SECONDS, "s")
    report.at_most("calls lost as replicas stop", float(lost), 0.0, "calls")
