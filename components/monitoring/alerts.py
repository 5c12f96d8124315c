"""Alerts on callers who get no answer, on pods that fail, and on a scaler that does not scale.

They use only series of gateways and Triton, those that Prometheus itself has of each scrape, and
KEDA's and those of kube-state-metrics where Prometheus scrapes them. Of a GPU they see only whether
the device plugin calls it unhealthy: the rest takes NVIDIA's DCGM exporter.
"""

from collections.abc import Iterator
from typing import Any

from components.autoscaler.queries import in_flight, signal
from components.gateway.envoy.filters.caller_limit import LIMIT_PREFIX
from components.gateway.envoy.listener import STAT_PREFIX
from components.gateway.envoy.stats import (
    CLUSTER_LABEL,
    LIMIT_LABEL,
    LISTENER_LABEL,
    MEMBERSHIP,
    MEMBERSHIP_HEALTHY,
    selector,
)
from components.monitoring.gateway_alerts import (
    gateway_rules,
    limit_rules,
    tls_rules,
    token_rules,
)
from components.monitoring.rule import POD_LABEL, RESTARTS, Rule, pods
from config.sections.autoscaler import HPA_TOLERANCE
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus
from config.sections.triton import PULL_SECONDS

_ANSWERED = "nv_inference_request_success"
"""Triton's counter of answered inferences, of which the watchdog makes some at any time."""

_NODE_SECONDS = 300
"""Time for a new node: the default of `gpuNodes.nodeStartSeconds`, and two minutes more."""

_GPU_RESOURCES = "nvidia_com_(gpu|mig_.+)"
"""Extended resources of GPUs and of MIG devices, as kube-state-metrics writes them."""


def alert_rules(
    stacks: tuple[InferenceStack, ...],
    prometheus: Prometheus,
    *,
    keda_is_scraped: bool = False,
    nodes_are_scraped: bool = False,
) -> dict[str, Any]:
    """Build a rules file, or the spec of a PrometheusRule: one group per stack's scaler.

    Args:
        stacks: The inference stacks.
        prometheus: The Prometheus that scrapes them. Its `matchers` are not in the rules, because
            it has its external labels on no series of its own.
        keda_is_scraped: True if it may have KEDA's series.
        nodes_are_scraped: True if it may have those of kube-state-metrics.
    """
    groups: list[dict[str, Any]] = []
    for stack in stacks:
        found = [*_rules(stack, prometheus), *(_keda_rules(stack) if keda_is_scraped else ())]
        if nodes_are_scraped and stack.triton.gpus:
            found.append(_unhealthy_gpus())
        rules = [_manifest(stack, rule) for rule in found]
        groups.append({"name": stack.scaler_name, "rules": rules})
    return {"groups": groups}


def _rules(stack: InferenceStack, prometheus: Prometheus) -> Iterator[Rule]:
    namespace = {prometheus.namespace_label: stack.namespace}
    fleet = selector({CLUSTER_LABEL: stack.envoy_cluster, **namespace})
    yield from gateway_rules(stack, fleet, namespace)
    if stack.gateway.tls.is_on:
        expiry = stack.gateway.tls.expiry_warning_seconds
        yield from tls_rules(pods(stack.gateway_name, namespace), expiry)
    if stack.token_issuers:
        yield from token_rules(pods(stack.gateway_name, {LISTENER_LABEL: STAT_PREFIX, **namespace}))
    if stack.has_caller_limit:
        yield from limit_rules(pods(stack.gateway_name, {LIMIT_LABEL: LIMIT_PREFIX, **namespace}))
    yield from _replica_rules(stack, fleet, namespace)
    yield from _scaler_rules(stack, fleet, prometheus)


def _replica_rules(stack: InferenceStack, fleet: str, namespace: dict[str, str]) -> Iterator[Rule]:
    scaler, own = stack.autoscaler, pods(stack.deployment_name, namespace)
    yield Rule(
        "ReplicaCrashLoop",
        f"max by ({POD_LABEL}) (resets({_ANSWERED}{own}[30m])) > {RESTARTS}",
        seconds=0,
        severity="critical",
        summary="Replica {{ $labels.pod }} restarted {{ $value }} times in 30 minutes.",
    )
    yield Rule(
        "ReplicaNotStarting",
        f"max by ({POD_LABEL}) (up{own}) == 0",
        seconds=_start_seconds(stack),
        severity="warning",
        summary="Replica {{ $labels.pod }} does not serve, long after it should.",
    )
    yield Rule(
        "FleetBelowMinimum",
        # By the gateway that sees the fewest: a replica must be reachable by every gateway.
        f"min({MEMBERSHIP_HEALTHY}{fleet}) < {scaler.min_replicas}",
        seconds=120,
        severity="critical",
        summary=f"Only {{{{ $value }}}} of at least {scaler.min_replicas} replicas "
        "can be reached by every gateway.",
    )
    yield Rule(
        "FleetAtMaximum",
        f"max({MEMBERSHIP}{fleet}) >= {scaler.max_replicas}",
        seconds=600,
        severity="warning",
        summary=f"All {scaler.max_replicas} replicas are up; more load will be refused.",
    )


def _scaler_rules(stack: InferenceStack, fleet: str, prometheus: Prometheus) -> Iterator[Rule]:
    scaler, members = stack.autoscaler, f"max({MEMBERSHIP}{fleet})"
    yield Rule(
        "ScalerQueryEmpty",
        # Only this term of the scaler's query can have an empty result.
        f"absent({in_flight(fleet)})",
        seconds=60,
        severity="critical",
        summary="The scaler is blind: no gateway reports its calls in flight.",
    )
    # Whatever the cause: KEDA, its fallback, its access to Prometheus, the HPA, or no node.
    wanted = f"({signal(stack, fleet, prometheus)}) / {scaler.threshold:g}"
    yield Rule(
        "FleetNotGrowing",
        f"{wanted} > {1 + HPA_TOLERANCE:g} * {members} and {members} < {scaler.max_replicas}",
        seconds=_start_seconds(stack) + _NODE_SECONDS,
        severity="critical",
        summary="The load asks for {{ $value | humanize }} replicas, and the fleet does not grow.",
    )


def _keda_rules(stack: InferenceStack) -> Iterator[Rule]:
    # KEDA's label `namespace` is renamed where the scrape sets one of its own.
    errors = [
        f"rate(keda_scaled_object_errors_total"
        f"{selector({'scaledObject': stack.scaler_name, label: stack.namespace})}[2m])"
        for label in ("namespace", "exported_namespace")
    ]
    yield Rule(
        "ScalerFailing",
        f"sum({' or '.join(errors)}) > 0",
        seconds=120,
        severity="critical",
        summary="KEDA cannot ask Prometheus: its fallback is active, and the fleet does not grow.",
    )


def _unhealthy_gpus() -> Rule:
    # The plugin calls a GPU unhealthy after a critical Xid (its `internal/rm/health.go`). kubelet
    # counts such GPUs, and their shares, in the capacity alone (`devicemanager`'s `GetCapacity`).
    capacity, allocatable = (
        f'max by (node, resource) (kube_node_status_{kind}{{resource=~"{_GPU_RESOURCES}"}})'
        for kind in ("capacity", "allocatable")
    )
    return Rule(
        "GpuUnhealthy",
        f"{capacity} - {allocatable} > 0",
        seconds=60,
        severity="warning",
        summary="Node {{ $labels.node }} has {{ $value }} unhealthy {{ $labels.resource }}.",
    )


def _start_seconds(stack: InferenceStack) -> float:
    """Longest time from a replica's first container to ready."""
    return PULL_SECONDS + stack.triton.copy_seconds + stack.startup_budget_seconds


def _manifest(stack: InferenceStack, rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": f"{rule.seconds:.0f}s",
        "labels": {
            "severity": rule.severity,
            "namespace": stack.namespace,
            "scaler": stack.scaler_name,
        },
        "annotations": {"summary": rule.summary},
    }
