"""A Deployment and its pods in the forms that an API server of Kubernetes 1.36 hands out."""

from typing import Any

from components.rollout.status.snapshot import Snapshot

NAME = "triton"
NEW, OLD = "5d4f", "77c9"

PULL_NOT_FOUND = (
    'Back-off pulling image "example.com/none:1": ErrImagePull: rpc error: code = NotFound desc = '
    'failed to pull and unpack image "example.com/none:1": failed to resolve reference '
    '"example.com/none:1": example.com/none:1: not found'
)
PULL_REFUSED = (
    'failed to pull and unpack image "example.com/none:1": failed to resolve reference '
    '"example.com/none:1": failed to do request: Head "https://example.com/v2/none/manifests/1": '
    "dial tcp 192.0.2.1:443: connect: connection refused"
)


def deployment(wanted: int = 2, **status: Any) -> dict[str, Any]:
    """A Deployment at its second revision whose rollout has begun."""
    return {
        "metadata": {
            "name": NAME,
            "namespace": "ai",
            "uid": "deployment",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {},
        },
        "status": {
            "observedGeneration": 2,
            "replicas": wanted + 1,
            "updatedReplicas": 1,
            "readyReplicas": wanted,
            "availableReplicas": wanted,
            "conditions": [progressing("True", "ReplicaSetUpdated")],
            **status,
        },
    }


def progressing(status: str, reason: str, message: str = "", since: str = "") -> dict[str, str]:
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def rolled_out(replicas: int = 2, available: int | None = None) -> dict[str, Any]:
    """The same once the rollout is complete."""
    return deployment(
        replicas,
        replicas=replicas,
        updatedReplicas=replicas,
        availableReplicas=replicas if available is None else available,
        conditions=[progressing("True", "NewReplicaSetAvailable")],
    )


def replica_set(suffix: str, revision: int, replicas: int = 1, made: int = 1) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{NAME}-{suffix}",
            "uid": f"rs-{suffix}",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"kind": "Deployment", "uid": "deployment"}],
        },
        "spec": {"replicas": replicas},
        "status": {"replicas": made},
    }


def pod(name: str = "a", suffix: str = NEW, *, ready: bool = False, **more: Any) -> dict[str, Any]:
    """A pod that a node has taken."""
    spec = {"nodeName": "node-1", "volumes": more.pop("volumes", [])} | more.pop("spec", {})
    return {
        "metadata": {
            "name": f"{NAME}-{suffix}-{name}",
            "namespace": "ai",
            "uid": f"pod-{suffix}-{name}",
            "ownerReferences": [{"kind": "ReplicaSet", "uid": f"rs-{suffix}"}],
        },
        "spec": spec,
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            **more,
        },
    }


def container(state: dict[str, Any], restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "name": "triton",
        "image": "example.com/none:1",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        "lastState": {},
        **more,
    }


def ended(at: str = "2026-11-25T12:00:00Z", code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}


def backing_off(count: int, at: str = "2026-11-25T12:00:00Z") -> dict[str, Any]:
    """A container that crashed so often, and waits for kubelet's next attempt."""
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}
    return container({"waiting": waiting}, count - 1, lastState=ended(at))


def crashed(count: int, at: str = "2026-11-25T12:00:00Z") -> dict[str, Any]:
    return pod(containerStatuses=[backing_off(count, at)])


def waits(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A pod whose container does not start."""
    waiting = {"reason": reason, "message": message}
    return pod(containerStatuses=[container({"waiting": waiting})], **more)


def unplaced(message: str, **more: Any) -> dict[str, Any]:
    conditions = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]
    return pod(spec={"nodeName": None}, conditions=conditions, **more)


def event(uid: str, reason: str, message: str, at: str = "2026-11-25T12:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{uid}.{reason}"},
        "involvedObject": {"uid": uid},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def snapshot(*pods: dict[str, Any], **more: Any) -> Snapshot:
    """A rollout of two replicas in its first step, with two old pods that serve."""
    old = [pod("x", OLD, ready=True), pod("y", OLD, ready=True)]
    return Snapshot(
        more.pop("deployment", deployment()),
        more.pop("replica_sets", [replica_set(OLD, 1, 2, 2), replica_set(NEW, 2)]),
        [*pods, *old],
        **more,
    )
