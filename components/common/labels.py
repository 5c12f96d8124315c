"""Labels that identify every object of the stack (kubernetes.io recommended labels)."""

from collections.abc import Mapping

from config.base import PROJECT
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from config.selectors import (
    COMPONENT_LABEL,
    ENVOY,
    PART_OF_LABEL,
    PROMETHEUS,
    TRITON,
    WARM_SPARE,
    selector,
)

PART_OF = PROJECT
"""Value of `app.kubernetes.io/part-of` on everything that the program makes."""

STACK_LABEL = f"{PROJECT}/stack"
"""Label of a namespace that names the Pulumi stack which made it."""

IDENTITY_LABEL = f"{PROJECT}/identity"
"""Label of every object: identity of the stack that owns it."""

OWNER_ANNOTATION = f"{PROJECT}/owner"
"""Annotation of every object: the name of the stack that owns it."""

PATCH_FORCE: Mapping[str, str] = {"pulumi.com/patchForce": "true"}
"""Annotation of an object whose stated fields `up` takes back from other field managers."""

SKIP_AWAIT: Mapping[str, str] = {"pulumi.com/skipAwait": "true"}
"""Annotation of an object for whose readiness Pulumi must not wait."""

ROLLOUT_UNAWAITED: Mapping[str, str] = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
"""Annotation of a Deployment: the engine goes on as soon as the controller has seen it, and
`await_rollouts` waits for the pods. `SKIP_AWAIT` would not do: with it the engine does not wait for
a Deployment's end either, and takes the network away from pods that still drain."""

BALANCER_AWAITED: Mapping[str, str] = {
    "pulumi.com/waitFor": "jsonpath={.status.loadBalancer.ingress[0].hostname}"
}
"""Annotation of a Service with a load balancer: the engine waits for the balancer alone. By default
it also waits for pods, which are created after the Service."""

_LABEL_VALUE_LENGTH = 63


def labels(name: str, component: str, instance: str) -> dict[str, str]:
    """Label an object.

    Args:
        name: Application, such as `TRITON`.
        component: Role in the stack, such as `model-server`.
        instance: Name of the workload, which distinguishes two of the same application.
    """
    return {
        **selector(name, instance),
        COMPONENT_LABEL: component,
        PART_OF_LABEL: PART_OF,
    }


def namespace_labels(pulumi_stack: str) -> dict[str, str]:
    """Label a namespace, so that no other stack takes it for its own.

    Args:
        pulumi_stack: Name of the Pulumi stack, which may be longer than a label's value.
    """
    value = pulumi_stack[:_LABEL_VALUE_LENGTH].strip("-_.")
    return {PART_OF_LABEL: PART_OF, STACK_LABEL: value}


def hand_over(pulumi_stack: str) -> str:
    """Labels that hand a namespace to a stack for good, as `kubectl label` takes them."""
    labels = namespace_labels(pulumi_stack)
    return " ".join(
        [*(f"{label}={value}" for label, value in labels.items()), f"{IDENTITY_LABEL}-"]
    )


def triton_labels(stack: InferenceStack) -> dict[str, str]:
    """Labels of a stack's Triton and its objects."""
    return labels(TRITON, "model-server", stack.deployment_name)


def gateway_labels(stack: InferenceStack) -> dict[str, str]:
    """Labels of a stack's gateway and its objects."""
    return labels(ENVOY, "gateway", stack.gateway_name)


def spare_labels(stack: InferenceStack) -> dict[str, str]:
    """Labels of a stack's placeholders; no Service selects them."""
    return labels(WARM_SPARE, "warm-spare", stack.spare_name)


def prometheus_labels(prometheus: ManagedPrometheus) -> dict[str, str]:
    """Labels of the managed Prometheus and its objects."""
    return labels(PROMETHEUS, "metrics", prometheus.name)
