"""Live view of a local stack: pods, replicas, calls in flight, refusals, the autoscaler."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from lightkube.core.exceptions import ApiError
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from components.autoscaler.queries import in_flight, per_second, scaler_query
from components.gateway.envoy.filters.caller_limit import LIMIT_PREFIX
from components.gateway.envoy.listener import STAT_PREFIX
from components.gateway.envoy.stats import (
    ACTIVE_OVERFLOW,
    CALLER_LIMITED,
    CERTIFICATE_EXPIRES,
    DURATION_REACHED,
    LIMIT_LABEL,
    LISTENER_LABEL,
    NONE_HEALTHY,
    PENDING_OVERFLOW,
    cluster_selector,
    selector,
)
from components.monitoring.scrape import WORKLOAD_LABEL
from config.sections.inference import InferenceStack
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from local_cluster.status import show as show_cluster
from ops.stack.cluster_spec import GATEWAY_PORT, PROMETHEUS_PORT
from ops.stack.serving import ScaledObject, hpa_name

_EVERY_SECONDS = 1.0
_PROMETHEUS_SECONDS = 3.0


@dataclass(frozen=True)
class Prometheus:
    """The stack's Prometheus, by a loopback port."""

    port: int | None
    """None: the stack has no Prometheus of its own, and every value is unknown."""

    def value(self, query: str) -> str:
        """Return the current first value of a query; a dash if there is none."""
        if self.port is None:
            return "-"
        try:
            answer = httpx2.get(
                f"http://127.0.0.1:{self.port}/api/v1/query",
                params={"query": query},
                timeout=_PROMETHEUS_SECONDS,
                trust_env=False,
            )
            result: Any = answer.json()["data"]["result"]
        except (httpx2.HTTPError, ValueError, KeyError):
            return "-"
        return f"{float(result[0]['value'][1]):.1f}" if result else "-"


def show(cluster: Cluster, settings: Settings, *, once: bool = False) -> None:
    """Show a stack on the local cluster until interrupted, or once.

    If the cluster serves nothing or does not run, show the cluster itself.
    """
    console = Console()
    record = cluster.record
    ports = record.ports if record else {}
    if GATEWAY_PORT not in ports or not cluster.is_running:
        show_cluster(cluster)
        return
    client: Any = cluster.client()
    prometheus = Prometheus(ports.get(PROMETHEUS_PORT))
    if once or not console.is_terminal:
        console.print(_view(client, prometheus, settings))
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(_view_or_why_not(client, prometheus, settings), refresh=True)
            time.sleep(_EVERY_SECONDS)


def _view_or_why_not(client: Any, prometheus: Prometheus, settings: Settings) -> RenderableType:
    # The cluster may stop or restart during the view.
    try:
        return _view(client, prometheus, settings)
    except httpx2.TransportError as error:
        return f"the local cluster does not answer: {error}"


def _view(client: Any, prometheus: Prometheus, settings: Settings) -> RenderableType:
    views: list[RenderableType] = []
    for stack in settings.inference:
        window = stack.rate_window_seconds(settings.prometheus)
        views.append(_pods(client, stack))
        views.append(_calls(prometheus, stack, window))
        views.append(_scaler(client, prometheus, stack, settings))
    return Group(*views)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _pods(client: Any, stack: InferenceStack) -> Table:
    table = _table(f"{stack.namespace}: pods", ("deployment", "ready", "wanted", "updated"))
    for name in (stack.deployment_name, stack.gateway_name):
        try:
            found: Any = client.get(Deployment, name, namespace=stack.namespace)
        except ApiError:
            table.add_row(name, "-", "-", "-")
            continue
        status = found.status
        counts = (status.readyReplicas, found.spec.replicas, status.updatedReplicas)
        table.add_row(name, *(str(count or 0) for count in counts))
    return table


def _calls(prometheus: Prometheus, stack: InferenceStack, window_seconds: float) -> Table:
    table = _table("\ncalls", ("what", "now"))
    table.add_row("in flight", prometheus.value(in_flight(cluster_selector(stack.envoy_cluster))))
    for words, series in _unanswered(stack).items():
        rate = prometheus.value(per_second(series, window_seconds))
        table.add_row(words, f"{rate} /s")
    if stack.gateway.tls.is_on:
        left = prometheus.value(f"min({CERTIFICATE_EXPIRES}{_of_gateway(stack)} - time()) / 86400")
        table.add_row("certificate expires in", f"{left} days")
    return table


def _of_gateway(stack: InferenceStack, **labels: str) -> str:
    return selector({**labels, WORKLOAD_LABEL: stack.gateway_name})


def _unanswered(stack: InferenceStack) -> dict[str, str]:
    """Return Envoy's counters of calls without a whole answer, by the reason."""
    cluster = cluster_selector(stack.envoy_cluster)
    listener = _of_gateway(stack, **{LISTENER_LABEL: STAT_PREFIX})
    limit = {LIMIT_LABEL: LIMIT_PREFIX}
    limited = {"refused, a caller's rate": CALLER_LIMITED + _of_gateway(stack, **limit)}
    return {
        **(limited if stack.has_caller_limit else {}),
        "refused, replicas and waiting room full": PENDING_OVERFLOW + cluster,
        "refused, gateway's limit in flight": ACTIVE_OVERFLOW + cluster,
        "refused, no healthy replica": NONE_HEALTHY + cluster,
        "ended, deadline passed (streams: longest life)": DURATION_REACHED + listener,
    }


def _scaler(
    client: Any, prometheus: Prometheus, stack: InferenceStack, settings: Settings
) -> Table:
    table = _table("\nscaler", ("what", "now"))
    query = scaler_query(stack, settings.prometheus)
    table.add_row("signal", prometheus.value(query))
    table.add_row("threshold per replica", f"{stack.autoscaler.threshold:g}")
    try:
        scaled: Any = client.get(ScaledObject, stack.scaler_name, namespace=stack.namespace)
        hpa: Any = client.get(
            HorizontalPodAutoscaler, hpa_name(stack.scaler_name), namespace=stack.namespace
        )
    except ApiError as error:
        table.add_row("ScaledObject", str(error))
        return table
    status: dict[str, Any] = scaled.status or {}
    conditions: list[dict[str, str]] = status.get("conditions", [])
    stated = {condition["type"]: condition["status"] for condition in conditions}
    table.add_row("ScaledObject ready", stated.get("Ready", "-"))
    metrics: list[Any] = hpa.status.currentMetrics or []
    seen = [m.external.current.averageValue for m in metrics if m.external]
    table.add_row("seen per replica", ", ".join(seen) or "-")
    table.add_row("replicas wanted", str(hpa.status.desiredReplicas))
    table.add_row("may scale", str(holds(hpa, "ScalingActive")))
    return table
