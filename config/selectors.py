"""Labels that select the pods of one workload."""

from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus

NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
PART_OF_LABEL = "app.kubernetes.io/part-of"

TRITON = "triton"
ENVOY = "envoy"
PROMETHEUS = "prometheus"
DEVICE_PLUGIN = "nvidia-device-plugin"
WARM_SPARE = "warm-spare"


def selector(name: str, instance: str) -> dict[str, str]:
    """Select the pods of one workload by the two labels that never change."""
    return {NAME_LABEL: name, INSTANCE_LABEL: instance}


def triton_selector(stack: InferenceStack) -> dict[str, str]:
    """Select a stack's Triton pods."""
    return selector(TRITON, stack.deployment_name)


def warm_spare_selector(stack: InferenceStack) -> dict[str, str]:
    """Select a stack's placeholders."""
    return selector(WARM_SPARE, stack.spare_name)


def gateway_selector(stack: InferenceStack) -> dict[str, str]:
    """Select a stack's gateway pods."""
    return selector(ENVOY, stack.gateway_name)


def prometheus_selector(prometheus: ManagedPrometheus) -> dict[str, str]:
    """Select the pod of the stack's own Prometheus."""
    return selector(PROMETHEUS, prometheus.name)
