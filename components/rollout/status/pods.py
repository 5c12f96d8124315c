"""Reasons why a pod does not start: crashing containers, images, volumes, the scheduler."""

from collections.abc import Iterator

from components.rollout.status.refusals import image_refused, mount_late, mount_refused
from components.rollout.status.snapshot import (
    Object,
    Snapshot,
    claim_names,
    condition,
    event_time,
    name,
    part,
)
from components.rollout.status.symptom import AWAY_SECONDS, PROOF_SECONDS, LogOf, Proof, Symptom

CRASHES = 3
"""Crashes of one container that prove that it does not start. A container may crash once or twice
and recover, for example if a dependency is a little late."""

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
_IMAGE_NEVER = ("InvalidImageName", "ErrImageNeverPull")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "PreCreateHookError")
_LATE_CREATE = ("failed to reserve container name", "deadline exceeded", "timed out")
_STARTING = ("ContainerCreating", "PodInitializing", "")
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX_EVENTS = ("FailedCreatePodSandBox",)
_CLAIM_REFUSED = ("ProvisioningFailed", "FailedBinding", "ClaimLost", "ClaimMisbound")
_NEVER_PLACED = (
    "didn't find available persistent volumes to bind",
    "non-existent persistentvolume",
    "persistentvolumeclaim",
)
"""Phrases of the scheduler about volumes, for which no autoscaler adds a node."""


def symptoms(pod: Object, snapshot: Snapshot) -> Iterator[Symptom]:
    """Find the reasons why a pod of the new ReplicaSet does not become ready.

    Args:
        pod: Pod that is not ready.
        snapshot: Objects around the pod.
    """
    on = f"pod {name(pod)}"
    status = part(pod, "status")
    if status.get("phase") == "Failed":
        words = str(status.get("message") or "it ended")
        yield Symptom(on, str(status.get("reason") or "Failed"), words)
        return
    if not part(pod, "spec").get("nodeName"):
        yield from _unplaced(pod, snapshot, on)
        return
    found = False
    for one, is_init in _containers(status):
        for symptom in _container(one, pod, on, is_init):
            found = True
            yield symptom
    if not found:
        yield from _starting(pod, snapshot, on)


def crashes(container: Object) -> int:
    """Count how often a container ended, by its status."""
    return int(container.get("restartCount", 0)) + _is_down(container)


def _is_down(container: Object) -> bool:
    if part(container, "state", "terminated"):
        return True
    # Before the first start there is no last state either.
    waiting = part(container, "state", "waiting").get("reason", "")
    return waiting not in _STARTING and bool(part(container, "lastState", "terminated"))


def _containers(status: Object) -> Iterator[tuple[Object, bool]]:
    for one in status.get("initContainerStatuses") or ():
        yield one, True
    for one in status.get("containerStatuses") or ():
        yield one, False


def _container(one: Object, pod: Object, on: str, is_init: bool) -> Iterator[Symptom]:
    now = part(one, "state", "terminated")
    ended = now or part(one, "lastState", "terminated")
    if is_init and now.get("exitCode") == 0:
        return
    if (_is_down(one) or one.get("restartCount", 0)) and not one.get("ready") and ended:
        yield _crash(one, pod, on, ended)
        return
    waiting = part(one, "state", "waiting")
    reason, words = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if reason in _IMAGE:
        image = str(one.get("image") or "")
        lasts = PROOF_SECONDS if image_refused(words, image) else AWAY_SECONDS
        # kubelet alternates between the reasons while it retries.
        yield Symptom(
            on,
            "ImagePullBackOff",
            words or f"image {image}",
            Proof.IF_IT_LASTS,
            lasts_seconds=lasts,
        )
    elif reason in _IMAGE_NEVER:
        yield Symptom(on, reason, words, Proof.COMPLETE)
    elif reason in _CONFIG:
        late = any(text in words for text in _LATE_CREATE)
        yield Symptom(on, reason, words, Proof.NONE if late else Proof.IF_IT_LASTS)
    elif reason not in _STARTING:
        yield Symptom(on, reason, words)


def _crash(one: Object, pod: Object, on: str, ended: Object) -> Symptom:
    count = crashes(one)
    what = f"container {one.get('name')} crashed {count} time{'s' * (count != 1)}"
    why = str(ended.get("reason") or "Error")
    if ended.get("exitCode") is not None:
        why += f", exit code {ended['exitCode']}"
    if message := str(ended.get("message") or "").strip():
        why += f": {message}"
    return Symptom(
        on,
        what,
        why,
        Proof.COMPLETE if count >= CRASHES else Proof.NONE,
        LogOf(name(pod), str(one.get("name")), previous=not part(one, "state", "terminated")),
        stamp=str(ended.get("finishedAt") or ""),
    )


def is_backing_off(pod: Object) -> bool:
    """Return True if kubelet backs off before it retries a pod, for up to five minutes."""
    for one, _ in _containers(part(pod, "status")):
        if part(one, "state", "waiting").get("reason") in ("CrashLoopBackOff", "ImagePullBackOff"):
            return True
    return False


def _unplaced(pod: Object, snapshot: Snapshot, on: str) -> Iterator[Symptom]:
    claims = list(_claims(pod, snapshot))
    yield from claims
    scheduled = condition(pod, "PodScheduled")
    events = snapshot.events_on(pod, "FailedScheduling", "NotTriggerScaleUp", "TriggeredScaleUp")
    words = str(scheduled.get("message") or (events[-1].get("message") if events else "") or "")
    if not words:
        if not claims:
            yield Symptom(on, "Pending", "the scheduler has not tried it yet")
        return
    if events and events[-1].get("reason") != "FailedScheduling":
        words += f" ({events[-1].get('message')})"
    proof = Proof.IF_IT_LASTS if any(text in words for text in _NEVER_PLACED) else Proof.NONE
    yield Symptom(on, str(scheduled.get("reason") or "Unschedulable"), words, proof)


def _claims(pod: Object, snapshot: Snapshot) -> Iterator[Symptom]:
    known = {name(claim): claim for claim in snapshot.claims}
    for claim_name in claim_names(pod):
        on = f"claim {claim_name}"
        claim = known.get(claim_name)
        if claim is None or part(claim, "status").get("phase") == "Bound":
            continue
        refused = snapshot.events_on(claim, *_CLAIM_REFUSED)
        provisions = snapshot.events_on(claim, "Provisioning")
        waits = snapshot.events_on(claim, "ExternalProvisioning")
        if refused:
            last = refused[-1]
            late = mount_late(str(last.get("message")))
            yield Symptom(
                on,
                str(last.get("reason")),
                str(last.get("message")),
                Proof.NONE if late else Proof.IF_IT_LASTS,
                stamp=event_time(last),
            )
        elif waits and not provisions:
            # A provisioner at work would have reported an event.
            words = str(waits[-1].get("message"))
            yield Symptom(on, "ExternalProvisioning", words, Proof.IF_IT_LASTS)
        else:
            yield Symptom(on, str(part(claim, "status").get("phase") or "Pending"), "")


def _starting(pod: Object, snapshot: Snapshot, on: str) -> Iterator[Symptom]:
    """Find the reasons of a pod on a node whose containers report no error."""
    events = snapshot.events_on(pod)
    blocked = [event for event in events if event.get("reason") in _MOUNT_EVENTS]
    if blocked and not _has_started(pod):
        last = blocked[-1]
        words = str(last.get("message"))
        refused = mount_refused(words) or _held_by_an_old_pod(words, snapshot)
        proof = Proof.IF_IT_LASTS if refused else Proof.NONE
        yield Symptom(on, str(last.get("reason")), words, proof, stamp=event_time(last))
        return
    sandbox = [event for event in events if event.get("reason") in _SANDBOX_EVENTS]
    if sandbox and not _has_started(pod):
        yield Symptom(on, "FailedCreatePodSandBox", str(sandbox[-1].get("message")))
        return
    probes = [event for event in events if event.get("reason") == "Unhealthy"]
    words = str(probes[-1].get("message")) if probes else ""
    reason = "its containers start" if not _has_started(pod) else "not ready"
    yield Symptom(on, reason, words)


def _has_started(pod: Object) -> bool:
    """Return True if a container runs or has run, which means that all volumes are mounted."""
    states = [part(one, "state") for one, _ in _containers(part(pod, "status"))]
    return any("running" in state or "terminated" in state for state in states)


def _held_by_an_old_pod(words: str, snapshot: Snapshot) -> bool:
    """Return True if an old pod, which leaves once this one is ready, holds its volume."""
    if "Multi-Attach" not in words:
        return False
    return any(name(pod) and name(pod) in words for pod in snapshot.old_pods)
