"""Alerts on a blind scaler, on refusals, and on a fleet below its minimum or at its maximum."""

from typing import Any

from components.autoscaler.queries import in_flight, refusals
from components.gateway.envoy.stats import MEMBERSHIP_HEALTHY, cluster_selector
from config.sections.inference import InferenceStack

_MEMBERS = "envoy_cluster_membership_total"


def alert_rules(stacks: tuple[InferenceStack, ...]) -> dict[str, Any]:
    """Build a rules file, or the spec of a PrometheusRule: one group per stack's scaler."""
    return {"groups": [{"name": stack.scaler_name, "rules": _rules(stack)} for stack in stacks]}


def _rules(stack: InferenceStack) -> list[dict[str, Any]]:
    scaler = stack.autoscaler
    cluster = cluster_selector(stack.envoy_cluster)
    # A minute holds three scrapes at the longest interval that the scaler can work with.
    refused = refusals(stack.envoy_cluster, 60)
    return [
        _rule(
            stack,
            "ScalerQueryEmpty",
            # Only this term of the scaler's query can have an empty result.
            f"absent({in_flight(stack.envoy_cluster)})",
            lasting="1m",
            severity="critical",
            summary="The scaler is blind: no gateway reports its calls in flight.",
        ),
        _rule(
            stack,
            "GatewayRefusing",
            f"{refused} > 0",
            lasting="1m",
            severity="warning",
            summary="The gateway refuses {{ $value | humanize }} calls a second.",
        ),
        _rule(
            stack,
            "FleetAtMaximum",
            f"max({_MEMBERS}{cluster}) >= {scaler.max_replicas}",
            lasting="10m",
            severity="warning",
            summary=f"All {scaler.max_replicas} replicas are up; more load will be refused.",
        ),
        _rule(
            stack,
            "FleetBelowMinimum",
            # By the gateway that sees the fewest: a replica must be reachable by every gateway.
            f"min({MEMBERSHIP_HEALTHY}{cluster}) < {scaler.min_replicas}",
            lasting="2m",
            severity="critical",
            summary=(
                f"Only {{{{ $value }}}} of at least {scaler.min_replicas} replicas "
                "can be reached by every gateway."
            ),
        ),
    ]


def _rule(
    stack: InferenceStack, name: str, expression: str, *, lasting: str, severity: str, summary: str
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {
            "severity": severity,
            "namespace": stack.namespace,
            "scaler": stack.scaler_name,
        },
        "annotations": {"summary": summary},
    }
