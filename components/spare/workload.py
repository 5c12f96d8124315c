"""The placeholders' Deployment and PriorityClass, made from the pods of Triton."""

from components.common.labels import spare_labels
from components.common.pods import Manifest, spread
from config.sections.inference import InferenceStack
from config.selectors import warm_spare_selector

PRIORITY = -10
"""Priority of the placeholders: below that of every other pod, so that a replica preempts them. The
Cluster Autoscaler adds nodes for pods of this priority, but not for a lower one
(`expendable-pods-priority-cutoff`, -10 by default: kubernetes/autoscaler, main.go)."""

_PLACED = ("nodeSelector", "tolerations", "affinity", "runtimeClassName", "imagePullSecrets")
"""Fields of a pod that decide where it runs and whether its images can be pulled."""


def priority_class_name(stack: InferenceStack) -> str:
    """Return the name of the stack's PriorityClass, unique in the cluster."""
    return f"{stack.namespace}-{stack.spare_name}"


def deployment_spec(stack: InferenceStack, replica: Manifest) -> Manifest:
    """Return the spec of the placeholders' Deployment.

    A placeholder is of the size of a replica, and runs only where a replica may run. It pulls
    Triton's image, so that the replica that takes its place does not.

    Args:
        stack: Inference stack.
        replica: Spec of Triton's pods.
    """
    (triton,) = replica["containers"]
    alike = {
        "imagePullPolicy": "IfNotPresent",
        "resources": triton["resources"],
        "securityContext": triton["securityContext"],
    }
    return {
        "replicas": stack.triton.warm_spare.replicas,
        "selector": {"matchLabels": warm_spare_selector(stack)},
        # A rollout needs no room beside that of the placeholders.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"},
        },
        "template": {
            "metadata": {"labels": spare_labels(stack)},
            "spec": {
                **{key: replica[key] for key in _PLACED if key in replica},
                "priorityClassName": priority_class_name(stack),
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": replica["securityContext"],
                # The scheduler waits for the end of a placeholder before it binds the replica.
                "terminationGracePeriodSeconds": 1,
                "topologySpreadConstraints": spread(warm_spare_selector(stack)),
                "initContainers": [
                    {"name": "image", "image": triton["image"], "command": ["true"], **alike}
                ],
                "containers": [
                    {"name": "placeholder", "image": stack.triton.warm_spare.image, **alike}
                ],
            },
        },
    }
