"""The spec of KEDA's ScaledObject."""

from typing import Any

from components.autoscaler.queries import scaler_query
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus


def scaled_object(stack: InferenceStack, prometheus: Prometheus) -> dict[str, Any]:
    """Build the spec by which KEDA scales a stack's Triton Deployment.

    Args:
        stack: The inference stack.
        prometheus: The Prometheus that KEDA asks for the signal.

    Returns:
        `spec` of a `keda.sh/v1alpha1` ScaledObject, plain data.
    """
    scaler = stack.autoscaler
    reference = prometheus.authentication.reference(authentication_name(stack))
    return {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": stack.deployment_name,
        },
        "minReplicaCount": scaler.min_replicas,
        "maxReplicaCount": scaler.max_replicas,
        "pollingInterval": scaler.polling_interval_seconds,
        # KEDA's own cooldown governs only the step to zero; the HPA's window below keeps loaded
        # models up. Both come from one parameter.
        "cooldownPeriod": scaler.cooldown_seconds,
        "fallback": {
            "failureThreshold": scaler.fallback_failures,
            "replicas": scaler.min_replicas,
            # A fleet under load must not shrink because the load cannot be measured.
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(stack)}},
        "triggers": [
            {
                "type": "prometheus",
                # The HPA itself divides the total by the number of replicas.
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": prometheus.address.rstrip("/"),
                    "query": scaler_query(stack, prometheus),
                    "threshold": f"{scaler.threshold:g}",
                    # KEDA treats an empty answer as an error and uses the fallback, never as zero.
                    "ignoreNullValues": "false",
                    **prometheus.trigger_metadata,
                },
                **({"authenticationRef": reference} if reference else {}),
            }
        ],
    }


def authentication_name(stack: InferenceStack) -> str:
    """Return the name of the stack's ClusterTriggerAuthentication, unique in the cluster."""
    return f"{stack.namespace}-{stack.scaler_name}"


def _behavior(stack: InferenceStack) -> dict[str, Any]:
    scaler = stack.autoscaler
    whole_range = max(1, scaler.max_replicas - scaler.min_replicas)
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": scaler.scale_up.stabilization_seconds,
            "selectPolicy": "Max",
            "policies": [
                {
                    "type": "Pods",
                    "value": scaler.scale_up.pods or whole_range,
                    "periodSeconds": scaler.scale_up.period_seconds,
                }
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": scaler.cooldown_seconds,
            "selectPolicy": "Max",
            "policies": [
                {
                    "type": "Pods",
                    "value": scaler.scale_down.pods,
                    "periodSeconds": scaler.scale_down.period_seconds,
                }
            ],
        },
    }
