"""Snapshots of rollouts that fail, that fail if they last, and that may recover."""

from typing import Any

from components.rollout.status.snapshot import Snapshot
from tests.unit import rollout_objects as objects
from tests.unit.rollout_objects import event, pod, snapshot, unplaced, waits


def of_claim(event_reason: str, message: str, **more: Any) -> Snapshot:
    """A pod that waits for a claim of which an event tells."""
    claim = {"metadata": {"name": "models", "uid": "claim"}, "status": {"phase": "Pending"}}
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    unbound = unplaced("pod has unbound immediate PersistentVolumeClaims", volumes=volumes)
    found = [event("claim", event_reason, message), *more.get("events", [])]
    return snapshot(unbound, claims=[claim], events=found)


def mount(message: str, reason: str = "FailedMount") -> Snapshot:
    return snapshot(waits("ContainerCreating"), events=[event("pod-5d4f-a", reason, message)])


def refused(message: str) -> Snapshot:
    return snapshot(
        replica_sets=[
            objects.replica_set(objects.OLD, 1, 2, 2),
            objects.replica_set(objects.NEW, 2, 1, 0),
        ],
        events=[event("rs-5d4f", "FailedCreate", f"Error creating: {message}")],
    )


def init_crash() -> Snapshot:
    sync = {**objects.backing_off(3), "name": "model-sync"}
    main = objects.container({"waiting": {"reason": "PodInitializing"}})
    return snapshot(pod(initContainerStatuses=[sync], containerStatuses=[main]))


def evicted() -> Snapshot:
    gone = [
        {
            **pod(str(n)),
            "status": {"phase": "Failed", "reason": "Evicted", "message": "low on disk"},
        }
        for n in range(3)
    ]
    return snapshot(*gone)


PROVEN = {
    "the third crash": snapshot(objects.crashed(3)),
    "an init container's third crash": init_crash(),
    "out of memory at the start": snapshot(
        pod(
            containerStatuses=[
                objects.container(objects.ended(code=137, reason="OOMKilled"), restarts=2)
            ]
        )
    ),
    "no such executable": snapshot(
        pod(
            containerStatuses=[
                objects.container(
                    {"waiting": {"reason": "RunContainerError", "message": "exec: not found"}},
                    2,
                    lastState=objects.ended(code=128, reason="StartError"),
                )
            ]
        )
    ),
    "a name that is no image's": snapshot(waits("InvalidImageName", 'couldn\'t parse "A B"')),
    "a paused rollout": snapshot(
        pod(), deployment={**objects.deployment(), "spec": {"replicas": 2, "paused": True}}
    ),
    "the controller's own deadline": snapshot(
        pod(),
        deployment=objects.deployment(
            conditions=[
                objects.progressing(
                    "False", "ProgressDeadlineExceeded", since="2026-11-25T12:10:00Z"
                )
            ]
        ),
    ),
}
"""Proof at first sight."""

LASTS = {
    "an image that does not exist": snapshot(waits("ImagePullBackOff", objects.PULL_NOT_FOUND)),
    "an image that may not be pulled": snapshot(
        waits("ErrImagePull", "unexpected status from HEAD request: 401 Unauthorized")
    ),
    "a registry that no DNS knows": snapshot(
        waits("ErrImagePull", "dial tcp: lookup example.invalid on 10.0.0.2:53: no such host")
    ),
    "a Secret that a variable needs": snapshot(
        waits("CreateContainerConfigError", 'secret "token" not found')
    ),
    "a ConfigMap to mount": mount(
        'MountVolume.SetUp failed for volume "models" : configmap "triton-models-1" not found'
    ),
    "a volume that the cloud does not have": mount(
        "AttachVolume.Attach failed: rpc error: InvalidVolume.NotFound", "FailedAttachVolume"
    ),
    "a volume that an old pod keeps": mount(
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) triton-77c9-x',
        "FailedAttachVolume",
    ),
    "a claim that is not there": snapshot(unplaced('persistentvolumeclaim "models" not found')),
    "a StorageClass that is not there": of_claim(
        "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'
    ),
    "no volume and no StorageClass": of_claim(
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
    ),
    "nobody who provisions": of_claim(
        "ExternalProvisioning", "Waiting for a volume to be created by 'efs.csi.aws.com'"
    ),
    "no volume to bind": snapshot(
        unplaced("0/3 nodes: 3 node(s) didn't find available persistent volumes to bind.")
    ),
    "a quota": refused('pods "triton-5d4f-b" is forbidden: exceeded quota: gpus, requested: 1'),
    "pod security": refused('pods "t" is forbidden: violates PodSecurity "restricted:latest"'),
    "a policy engine": refused('admission webhook "validate.kyverno.svc" denied the request: no'),
    "pods that nodes evict": evicted(),
    "the Deployment is deleted": Snapshot({}),
}
"""Proof where it lasts."""

UNPROVEN = {
    "the second crash": snapshot(objects.crashed(2)),
    "a node that is being made": snapshot(
        unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes")
    ),
    "a plug-in that is being started": mount(
        "driver name efs.csi.aws.com not found in the list of registered CSI drivers"
    ),
    "a volume of another's pod": mount(
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other-1',
        "FailedAttachVolume",
    ),
    "a claim that is at work": of_claim(
        "ExternalProvisioning",
        "Waiting",
        events=[event("claim", "Provisioning", "External provisioner is provisioning")],
    ),
    "a webhook that is away": refused(
        'Internal error occurred: failed calling webhook "x": connect: connection refused'
    ),
    "an account that is being made": refused(
        'pods "t" is forbidden: error looking up service account ai/triton: not found'
    ),
    "a network that is being made": mount("CNI is not ready", "FailedCreatePodSandBox"),
    "a slow runtime": snapshot(
        waits("CreateContainerError", "failed to reserve container name: is reserved")
    ),
    "a probe that fails": snapshot(
        pod(containerStatuses=[objects.container({"running": {"startedAt": ""}})]),
        events=[event("pod-5d4f-a", "Unhealthy", "Startup probe failed: connection refused")],
    ),
}
"""Nothing that the cluster may not end by itself."""
