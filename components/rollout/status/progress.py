"""Progress of a rollout: done, waiting, or unable to succeed, with the symptoms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from components.rollout.status import pods
from components.rollout.status.refusals import pods_refused
from components.rollout.status.snapshot import (
    Object,
    Snapshot,
    condition,
    event_time,
    is_ready,
    name,
    part,
)
from components.rollout.status.symptom import Proof, Symptom

_COMPLETE = "NewReplicaSetAvailable"
_TOO_LONG = "ProgressDeadlineExceeded"
_SHOWN = 3
"""Most symptoms in one line; twenty pods mostly wait for the same reason."""


@dataclass(frozen=True)
class Done:
    """Every replica is of the stated template and ready."""


@dataclass(frozen=True)
class Waiting:
    """The rollout is under way."""

    ready: int
    wanted: int
    symptoms: tuple[Symptom, ...] = ()

    def __str__(self) -> str:
        text = f"{self.ready} of {self.wanted} new pods ready"
        return f"{text}; {listed(self.symptoms)}" if self.symptoms else text


@dataclass(frozen=True)
class Failed:
    """The rollout cannot succeed."""

    symptoms: tuple[Symptom, ...]
    """The proof."""

    old_ready: int
    """Pods of the previous version that keep serving."""


State = Done | Waiting | Failed

_Timer = tuple[tuple[str, str], float]


def listed(symptoms: Sequence[Symptom]) -> str:
    """Name symptoms in one line, each kind once."""
    kinds = Counter((one.reason, _plain(one)) for one in symptoms)
    lines: list[str] = []
    for (reason, words), count in kinds.most_common(_SHOWN):
        first = next(one for one in symptoms if (one.reason, _plain(one)) == (reason, words))
        others = f" (and {count - 1} more)" if count > 1 else ""
        lines.append(f"{first}{others}")
    return "; ".join(lines)


def _plain(symptom: Symptom) -> str:
    """Return the words without the pod's own name, to recognise pods that share a reason."""
    return symptom.words.replace(symptom.on.partition(" ")[2], "")


@dataclass
class Progress:
    """Judges one rollout by one snapshot after another."""

    least: int
    """Ready pods that a complete rollout needs, while the scaler enlarges the fleet."""

    _first_seen: dict[_Timer, float] = field(default_factory=dict[_Timer, float])
    """Time at which a symptom was seen first, by its key and the time that it must last."""
    _before: dict[tuple[str, str], str] | None = None
    """Stamps of the failures in the first snapshot, by key."""
    _steps: tuple[int, ...] = ()

    def observe(self, snapshot: Snapshot, now: float) -> State:
        """Judge the rollout as it is now.

        Args:
            snapshot: Objects of the rollout.
            now: Monotonic time of the snapshot, seconds.
        """
        deployment = snapshot.deployment
        if not deployment:
            gone = Symptom(
                "Deployment", "NotFound", "the cluster has none of this name", Proof.IF_IT_LASTS
            )
            return self._judge([gone], Waiting(0, self.least, (gone,)), snapshot, now)
        status = part(deployment, "status")
        wanted = int(deployment["spec"].get("replicas", 1))
        ready = sum(is_ready(pod) for pod in snapshot.new_pods)
        generation = int(deployment["metadata"]["generation"])
        if int(status.get("observedGeneration", 0)) < generation:
            return Waiting(ready, wanted)
        if late := snapshot.unissued:
            # Pods cannot mount its Secret meanwhile, which proves nothing.
            obstacle = Waiting(ready, wanted, (late,))
            return self._judge([late], obstacle, snapshot, now)
        if self._is_done(deployment, wanted):
            return Done()
        updated = int(status.get("updatedReplicas", 0))
        steps = (generation, updated, ready, len(snapshot.old_pods))
        if steps != self._steps:
            # Each replaced pod gives its quota and its GPU to the next.
            self._steps, self._first_seen = steps, {}
        found = self._fresh(_symptoms(snapshot, complete=_is_complete(deployment)))
        return self._judge(found, Waiting(ready, wanted, tuple(found)), snapshot, now)

    def _is_done(self, deployment: Object, wanted: int) -> bool:
        """Measure the rollout as the controller does.

        A complete rollout stays complete while the scaler adds replicas, which may wait for nodes
        that do not exist yet.
        """
        status = part(deployment, "status")
        updated = int(status.get("updatedReplicas", 0))
        complete = _is_complete(deployment)
        return (
            int(status.get("replicas", 0)) == updated
            and (complete or updated >= wanted)
            and int(status.get("availableReplicas", 0))
            >= (min(wanted, self.least) if complete else wanted)
        )

    def _fresh(self, found: Sequence[Symptom]) -> list[Symptom]:
        """Ignore failures from before this run."""
        if self._before is None:
            self._before = {one.key: one.stamp for one in found if one.stamp}
        return [
            replace(one, proof=Proof.NONE)
            if one.stamp and self._before.get(one.key) == one.stamp
            else one
            for one in found
        ]

    def _judge(
        self, found: Sequence[Symptom], waiting: Waiting, snapshot: Snapshot, now: float
    ) -> State:
        keys = {one.key for one in found}
        # A symptom whose words changed, such as between two attempts, continues.
        seen = {timer: at for timer, at in self._first_seen.items() if timer[0] in keys}
        for one in found:
            if one.proof is Proof.IF_IT_LASTS:
                seen.setdefault((one.key, one.lasts_seconds), now)
        self._first_seen = seen
        proofs = [
            one
            for one in found
            if one.proof is Proof.COMPLETE
            or (
                one.proof is Proof.IF_IT_LASTS
                and now - seen[one.key, one.lasts_seconds] >= one.lasts_seconds
            )
        ]
        if not proofs:
            return waiting
        return Failed(tuple(proofs), sum(is_ready(pod) for pod in snapshot.old_pods))


def left_behind(snapshot: Snapshot) -> list[str]:
    """Name the pods of an earlier run's rollout for which kubelet backs off.

    Kubelet starts a new pod immediately, which shows whether the cause is gone.
    """
    if not snapshot.deployment or _is_complete(snapshot.deployment):
        return []
    waiting = [pod for pod in snapshot.new_pods if not is_ready(pod) and pods.is_backing_off(pod)]
    return [name(pod) for pod in waiting]


def _is_complete(deployment: Object) -> bool:
    return condition(deployment, "Progressing").get("reason") == _COMPLETE


def _symptoms(snapshot: Snapshot, *, complete: bool) -> list[Symptom]:
    found = list(_of_controller(snapshot))
    ended: list[Symptom] = []
    for pod in snapshot.new_pods:
        if is_ready(pod):
            continue
        failed = part(pod, "status").get("phase") == "Failed"
        (ended if failed else found).extend(pods.symptoms(pod, snapshot))
    if len(ended) >= pods.CRASHES:
        # The ReplicaSet created another pod each time, which a node refused or evicted too.
        reason = f"{len(ended)} pods ended, {ended[-1].reason}"
        found.append(replace(ended[-1], reason=reason, proof=Proof.IF_IT_LASTS))
    else:
        found += ended
    if complete:
        # These pods were ready once: a crash may well pass.
        found = [
            replace(one, proof=Proof.IF_IT_LASTS) if one.proof is Proof.COMPLETE else one
            for one in found
        ]
    return found


def _of_controller(snapshot: Snapshot) -> list[Symptom]:
    """Find the reasons that the Deployment and ReplicaSet controllers report."""
    deployment = snapshot.deployment
    on = f"Deployment {name(deployment)}"
    if deployment["spec"].get("paused"):
        namespace = deployment["metadata"].get("namespace", "default")
        words = f"resume it: kubectl -n {namespace} rollout resume deployment/{name(deployment)}"
        return [Symptom(on, "Paused", words, Proof.COMPLETE)]
    found: list[Symptom] = []
    failure = condition(deployment, "ReplicaFailure")
    if refused := refusals(snapshot):
        last = refused[-1]
        on_new = f"ReplicaSet {name(snapshot.new or {})}"
        found.append(_refused(on_new, str(last.get("reason")), last, event_time(last)))
    elif failure.get("status") == "True":
        found.append(_refused(on, str(failure.get("reason")), failure))
    progressing = condition(deployment, "Progressing")
    if progressing.get("status") == "False":
        reason = str(progressing.get("reason"))
        since = str(progressing.get("lastTransitionTime") or "")
        if reason == _TOO_LONG:
            words = str(progressing.get("message"))
            found.append(Symptom(on, reason, words, Proof.COMPLETE, stamp=since))
        else:
            found.append(_refused(on, reason, progressing))
    return found


def refusals(snapshot: Snapshot) -> list[Object]:
    """List the refusals of pods, if the last event is a refusal and pods are missing."""
    new = snapshot.new
    if new is None:
        return []
    if int(part(new, "status").get("replicas", 0)) >= int(new["spec"].get("replicas", 0)):
        return []
    events = snapshot.events_on(new, "FailedCreate", "SuccessfulCreate")
    return events if events and events[-1].get("reason") == "FailedCreate" else []


def _refused(on: str, reason: str, report: Object, stamp: str = "") -> Symptom:
    words = str(report.get("message") or "")
    proof = Proof.IF_IT_LASTS if pods_refused(words) else Proof.NONE
    return Symptom(on, reason, words, proof, stamp=stamp)
