"""Pods that pod security lets into a restricted namespace, for the tests of local clusters."""

from typing import Any

from config.sections.gpu_nodes import GPU_RESOURCE

IMAGE = "example.com/none:1"
TOLERATION = {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}


def pod(name: str, *, gpus: int = 0, tolerates: bool = False, **spec: Any) -> dict[str, Any]:
    """A pod that pod security lets into a restricted namespace."""
    resources = {"cpu": "1", **({GPU_RESOURCE: str(gpus)} if gpus else {})}
    container = {
        "name": "main",
        "image": IMAGE,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [TOLERATION] if tolerates else [],
            "containers": [container],
            **spec,
        },
    }
