"""A Deployment and its objects, as the API server returned them at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from components.rollout.status.symptom import Symptom

Object = Mapping[str, Any]
"""A Kubernetes object, as JSON has it."""

_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Snapshot:
    """A Deployment and its objects."""

    deployment: Object
    """Deployment; empty if the cluster has none of that name."""

    replica_sets: Sequence[Object] = ()
    """ReplicaSets that the Deployment's selector matches."""

    pods: Sequence[Object] = ()
    """Pods that the Deployment's selector matches."""

    claims: Sequence[Object] = ()
    """Existing PersistentVolumeClaims that the pods mount."""

    events: Sequence[Object] = field(default=())
    """Events about any of these."""

    unissued: Symptom | None = None
    """Obstacle of the Certificate whose Secret the pods mount; None if it is issued, or if the pods
    need none."""

    @cached_property
    def new(self) -> Object | None:
        """The ReplicaSet that the rollout grows; None before the controller has created it."""
        owned = [one for one in self.replica_sets if is_owned_by(one, self.deployment)]
        wanted = _annotations(self.deployment).get(_REVISION)
        for one in owned:
            if wanted is not None and _annotations(one).get(_REVISION) == wanted:
                return one
        return None

    @cached_property
    def new_pods(self) -> list[Object]:
        """Pods of the new ReplicaSet that are not being deleted."""
        new = self.new
        if new is None:
            return []
        mine = [pod for pod in self.pods if is_owned_by(pod, new)]
        return [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]]

    @cached_property
    def old_pods(self) -> list[Object]:
        """Pods of earlier ReplicaSets that are not being deleted: they serve in the meantime."""
        kept = {uid(pod) for pod in self.new_pods}
        new = self.new
        return [
            pod
            for pod in self.pods
            if uid(pod) not in kept
            and "deletionTimestamp" not in pod["metadata"]
            and not (new and is_owned_by(pod, new))
        ]

    def events_on(self, one: Object, *reasons: str) -> list[Object]:
        """Return the events about an object, or those with certain reasons; the latest is last."""
        found = [
            event
            for event in self.events
            if part(event, "involvedObject").get("uid") == uid(one)
            and (not reasons or event.get("reason") in reasons)
        ]
        return sorted(found, key=event_time)


def part(one: Object, *path: str) -> Object:
    """Return a part of an object; empty if it is missing or null."""
    for key in path:
        found: Object | None = one.get(key)
        one = found or {}
    return one


def uid(one: Object) -> str:
    """Return the object's UID."""
    return str(part(one, "metadata").get("uid", ""))


def name(one: Object) -> str:
    """Return the object's name."""
    return str(part(one, "metadata").get("name", ""))


def condition(one: Object, kind: str) -> Object:
    """Return a condition of an object's status; empty if it has none of the type."""
    for found in part(one, "status").get("conditions") or ():
        if found.get("type") == kind:
            return found
    return {}


def is_ready(pod: Object) -> bool:
    """Return True if a pod receives calls."""
    return condition(pod, "Ready").get("status") == "True"


def event_time(event: Object) -> str:
    """Return the RFC 3339 time at which an event was last seen."""
    return str(
        part(event, "series").get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or part(event, "metadata").get("creationTimestamp")
        or ""
    )


def claim_names(pod: Object) -> list[str]:
    """Return the names of the PersistentVolumeClaims that a pod mounts."""
    volumes = part(pod, "spec").get("volumes") or ()
    claims = [volume.get("persistentVolumeClaim") for volume in volumes]
    return [str(claim["claimName"]) for claim in claims if claim]


def _annotations(one: Object) -> Mapping[str, str]:
    return part(one, "metadata", "annotations")


def is_owned_by(one: Object, owner: Object) -> bool:
    """Return True if an object names another as its owner."""
    references = part(one, "metadata").get("ownerReferences") or ()
    return bool(uid(owner)) and uid(owner) in [found.get("uid") for found in references]
