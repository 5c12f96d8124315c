"""A fleet of one size whatever the load, and one client's load on it as others saw it."""

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.utils.quantity import parse_quantity

from bench.api_proxy import pods_by_proxy
from bench.overload.burst_process import BurstProcess
from components.autoscaler.queries import scaler_query
from components.common.scraping import TRITON_METRICS_PATH
from components.gateway.envoy.stats import cluster_selector
from config.sections.inference import InferenceStack
from config.selectors import triton_selector
from config.settings import Settings
from eventflow.fetch import query_range
from eventflow.outcomes import Outcome
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address, prometheus_address
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout
from tests.serving.cluster import cluster, get, selected

AGREEMENT = 0.05
"""Share by which two counts of the same calls may differ."""

_LOOK_SECONDS = 1.0
_MEMBERS = "envoy_cluster_membership_healthy"


@dataclass(frozen=True)
class Fleet:
    """An inference stack on the serving cluster, and where it is asked."""

    checkout: Checkout
    settings: Settings

    @property
    def stack(self) -> InferenceStack:
        return self.settings.inference[0]

    @property
    def replicas(self) -> int:
        """Number of replicas; the autoscaler has no other choice."""
        return self.stack.autoscaler.min_replicas

    @property
    def address(self) -> str:
        return gateway_address(self.checkout.env)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def prometheus(self) -> str:
        return f"http://{prometheus_address(self.checkout.env)}"

    @property
    def scrape_seconds(self) -> float:
        return self.settings.prometheus.scrape_interval_seconds

    @property
    def rate_window_seconds(self) -> float:
        return self.stack.rate_window_seconds(self.settings.prometheus)

    @cached_property
    def _client(self) -> Any:
        return cluster(self.checkout).client()

    def hpa_shows(self) -> float:
        """The signal as the HPA has it: its value per replica, for all of them; 0 without one.

        The HPA lists a metric that it could not read without a kind and a value.
        """
        name, namespace = f"keda-hpa-{self.stack.scaler_name}", self.stack.namespace
        status = self._client.get(HorizontalPodAutoscaler, name, namespace=namespace).status
        read = [metric.external for metric in status.currentMetrics or [] if metric.external]
        values = [metric.current.averageValue for metric in read]
        return sum(float(parse_quantity(value) or 0) * status.currentReplicas for value in values)

    def wait_until_routed(self) -> None:
        """Wait until every gateway sends calls to all replicas, and to nothing else."""
        query = _MEMBERS + cluster_selector(self.stack.envoy_cluster)
        wanted = (float(self.replicas),)
        wait_until(
            f"{self.replicas} replicas behind each gateway",
            lambda: self._now(f"min({query})") == self._now(f"max({query})") == wanted,
            120,
        )

    def wait_until_calm(self) -> None:
        """Wait until the scaler's signal shows no calls, those refused a while ago among them."""
        query = scaler_query(self.stack, self.settings.prometheus)
        wait_until("no calls in the scaler's signal", lambda: self._now(query) == (0.0,), 120)

    def _now(self, query: str) -> tuple[float, ...]:
        now = time.time()
        return query_range(self.prometheus, query, now, now, 1).values

    @contextmanager
    def counters(self) -> Iterator[list[str]]:
        """Options by which a client reads the calls per pod off Triton's own pages.

        Only the cluster reaches the pods: `kubectl proxy` has the API server hand the pages on.
        """
        stack = self.stack
        labels = selected(triton_selector(stack))
        pods = get(self.checkout, "pods", "-n", stack.namespace, "-l", labels)
        metadata = [pod["metadata"] for pod in pods]
        names = [found["name"] for found in metadata if "deletionTimestamp" not in found]
        assert len(names) == self.replicas
        kubeconfig = cluster(self.checkout).kubeconfig
        with pods_by_proxy(kubeconfig, self.checkout.variables, stack.namespace) as folder:
            page = f"{stack.triton.metrics_port}/proxy{TRITON_METRICS_PATH}"
            yield [f"--counters={folder}/{name}:{page}" for name in names]


class Held:
    """A checkout whose fleet is held at one size, by min and max of its own scaler's parameters.

    KEDA and the HPA work as ever; they may choose nothing else.

    Args:
        checkout: The checkout.
        prometheus: Further parameters of its Prometheus.
    """

    def __init__(self, checkout: Checkout, **prometheus: Any) -> None:
        self._checkout, self._prometheus = checkout, prometheus
        self._now: tuple[int, dict[str, Any]] | None = None

    def at(self, replicas: int, **gateway: Any) -> Fleet:
        """Hold it so; `gateway` are parameters of the gateway, which else has its own."""
        asked = replicas, gateway
        if self._now != asked:
            self._checkout.reset_config()
            section: dict[str, Any] = {
                "autoscaler": {"minReplicas": replicas, "maxReplicas": replicas}
            }
            if gateway:
                section["gateway"] = gateway
            self._checkout.set_config(inference=[section], prometheus=self._prometheus)
            self._now = None
            self._checkout.up().ok()
            self._now = asked
        fleet = Fleet(self._checkout, read_settings(self._checkout.env))
        fleet.wait_until_routed()
        return fleet

    def release(self) -> None:
        """Take the parameters back to what is committed, and the fleet to its least by those."""
        self._checkout.reset_config()
        least = read_settings(self._checkout.env).inference[0].autoscaler.min_replicas
        if self._now and self._now[0] > least:
            # Left to the scaler, they would stay for the length of its cooldown.
            self.at(least)
        self._checkout.reset_config()
        self._checkout.up().ok()


@dataclass(frozen=True)
class LoadRun:
    """One client's run: its own account, and what others saw. Times are seconds from its start."""

    fleet: Fleet
    report: dict[str, Any]
    began_at: float
    """`time.time` of the start, seconds."""
    hpa: tuple[tuple[float, float], ...]
    """Times of the HPA's readings, and the signal that it showed."""

    @classmethod
    def run(cls, fleet: Fleet, folder: Path, **how: Any) -> "LoadRun":
        """Load a fleet to the client's own end; `how` is what `BurstProcess.start` takes."""
        shown: list[tuple[float, float]] = []
        with BurstProcess.start(fleet.address, folder=folder, **how) as client:
            while client.process.poll() is None:
                shown.append((time.time(), fleet.hpa_shows()))
                with suppress(subprocess.TimeoutExpired):
                    client.process.wait(_LOOK_SECONDS)
            report = client.wait()
        began_at = datetime.fromisoformat(report["started_at"]).timestamp()
        under_load = (
            (at - began_at, value) for at, value in shown if 0 <= at - began_at < report["seconds"]
        )
        return cls(fleet, report, began_at, tuple(under_load))

    def in_flight(self, at: float) -> float:
        """Calls that the client had under way."""
        return self._timeline[int(at)]["in_flight"]

    def per_second(self, outcome: str, start: float, end: float) -> float:
        """Calls that ended so, per second, by the client's count."""
        rows = self._timeline[int(start) : int(end)]
        return sum(row.get(outcome, 0) for row in rows) / len(rows)

    def refused(self, at: float) -> float:
        """Calls that the gateway's limits refused, per second of the window that ends there."""
        return self.per_second(Outcome.BREAKER, at - self.fleet.rate_window_seconds, at)

    def seen(self, query: str, settle_seconds: float) -> list[tuple[float, float]]:
        """Return Prometheus's samples, scrape by scrape, since they had settled."""
        step = self.fleet.scrape_seconds
        start = self.began_at + settle_seconds + step
        end = self.began_at + self.report["seconds"] - 1
        found = query_range(self.fleet.prometheus, query, start, end, step)
        return [
            (at - self.began_at, value) for at, value in zip(found.at, found.values, strict=True)
        ]

    @property
    def _timeline(self) -> list[dict[str, float]]:
        assert self.report["timeline_step_seconds"] == 1.0
        return self.report["timeline"]


def agreement(
    seen: Iterable[tuple[float, float]], own: Callable[[float], float]
) -> tuple[int, list[tuple[float, float]]]:
    """Return the longest run of observations that agree with the client; and all pairs.

    Args:
        seen: Time and value of each observation.
        own: Function that returns the client's count at a time.
    """
    pairs = [(value, own(at)) for at, value in seen]
    longest = run = 0
    for value, counted in pairs:
        run = run + 1 if abs(value - counted) <= AGREEMENT * counted else 0
        longest = max(longest, run)
    return longest, pairs
