"""The watch over one rollout, until it ends."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from components.common.cert_manager import API_VERSION
from components.common.kubernetes_api import (
    MERGE_PATCH,
    ApiRefusedError,
    ApiUnreachableError,
    KubeconfigRefusedError,
    KubernetesApi,
)
from components.rollout.status.certificate import unissued
from components.rollout.status.message import failure
from components.rollout.status.progress import (
    Done,
    Failed,
    Progress,
    Waiting,
    left_behind,
    refusals,
)
from components.rollout.status.snapshot import Object, Snapshot, claim_names, is_ready, uid
from components.rollout.status.snapshot import name as name_of
from components.rollout.status.symptom import LogOf, Symptom

PROGRESS_SECONDS = 600.0
"""Kubernetes' own default of `progressDeadlineSeconds`, for Deployments that state none."""

POLL_SECONDS = 1.0
"""Time between two snapshots of a rollout."""

REPEAT_SECONDS = 10.0
"""Time after which an unchanged reason to wait is printed again."""

UNREACHABLE_SECONDS = 120.0
"""Time after which an API server that does not answer fails the rollout. A restart of an
API server takes about a minute."""

_NO_ANSWER = (ApiUnreachableError, ApiRefusedError, KubeconfigRefusedError)
_RETRIED = "kubemind.io/retried-at"
"""Annotation of a ReplicaSet; a change makes its controller create pods immediately."""

_LOG_LINES = 300
_PODS = 5
"""Most unready pods whose events are read: the others mostly wait for the same reason."""


class Watch:
    """Watches one rollout until it ends."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        name: str,
        least: int,
        times: tuple[float, float],
        report: Callable[[str], None],
        certificate: str = "",
    ) -> None:
        """Prepare the watch.

        Args:
            api: The cluster.
            namespace: Namespace of the Deployment.
            name: Name of the Deployment.
            least: Fewest ready pods of a complete rollout; a scaler may want more.
            times: Longest time, seconds, of a first rollout and of one that replaces pods.
            report: Callback for the reason why the rollout waits.
            certificate: Name of the Certificate of cert-manager whose Secret the pods mount; empty
                if they need none.
        """
        self._api = api
        self._namespace = namespace
        self._name = name
        self._times = times
        self._report_it = report
        self._progress = Progress(least)
        self._reported = ("", 0.0)
        self._certificate = certificate

    async def result(self) -> str:
        """Wait for the end; return the failure as text, empty for a success."""
        began = time.monotonic()
        answered = began
        seconds: float | None = None
        state_text = "no answer yet"
        while True:
            now = time.monotonic()
            try:
                snapshot = await asyncio.to_thread(self._snapshot)
                if seconds is None:
                    await asyncio.to_thread(self._retry, snapshot)
                    seconds = self._seconds(snapshot)
            except _NO_ANSWER as error:
                state_text = f"the API server does not answer: {error}"
                if now - answered > UNREACHABLE_SECONDS:
                    return f"the rollout of {self._what} is unknown: {state_text}"
            else:
                answered = now
                # By kind: `observe` has three outcomes, and each continues or ends the wait.
                match state := self._progress.observe(snapshot, now):
                    case Done():
                        return ""
                    case Failed():
                        return await asyncio.to_thread(self._failure, state)
                    case Waiting():
                        state_text = str(state)
                        if now - began > seconds:
                            return await asyncio.to_thread(self._too_late, snapshot, state, seconds)
            self._report(state_text, now)
            await asyncio.sleep(POLL_SECONDS)

    async def now(self) -> tuple[str, bool]:
        """Return the failure as `result` does, without a wait, and whether it may yet succeed."""
        try:
            snapshot = await asyncio.to_thread(self._snapshot)
        except _NO_ANSWER as error:
            return f"the rollout of {self._what} is unknown: {error}", False
        # By kind: the observation has three outcomes, and each gives another answer.
        match state := self._progress.observe(snapshot, time.monotonic()):
            case Done():
                return "", False
            case Failed():
                return await asyncio.to_thread(self._failure, state), False
            case Waiting():
                return f"{self._what} is not yet rolled out: {state}", True

    @property
    def _what(self) -> str:
        return f"Deployment {self._namespace}/{self._name}"

    def _seconds(self, snapshot: Snapshot) -> float:
        return self._times[bool(snapshot.old_pods)]

    def _report(self, text: str, now: float) -> None:
        before, at = self._reported
        if text != before or now - at >= REPEAT_SECONDS:
            self._reported = text, now
            self._report_it(text)

    def _retry(self, snapshot: Snapshot) -> None:
        """Make the cluster retry immediately after a back-off from an earlier run.

        Without permission to delete pods and patch ReplicaSets, the cluster's next attempt counts.
        """
        for name in left_behind(snapshot):
            self._api.ask("DELETE", f"{self._path('pods')}/{name}")
        if snapshot.new and refusals(snapshot):
            at = {_RETRIED: datetime.now(UTC).isoformat(timespec="seconds")}
            path = f"{self._path('replicasets', apps=True)}/{name_of(snapshot.new)}"
            self._api.ask("PATCH", path, {"metadata": {"annotations": at}}, MERGE_PATCH)

    def _failure(self, state: Failed) -> str:
        what = f"{self._what} cannot be rolled out"
        return failure(what, state.symptoms, state.old_ready, self._last_lines)

    def _too_late(self, snapshot: Snapshot, state: Waiting, seconds: float) -> str:
        what = (
            f"{self._what} is not rolled out after {seconds:g} s, "
            f"{state.ready} of {state.wanted} new pods are ready"
        )
        old = sum(is_ready(pod) for pod in snapshot.old_pods)
        return failure(what, state.symptoms, old, self._last_lines)

    def _last_lines(self, log: LogOf) -> str:
        path = f"{self._path('pods')}/{log.pod}/log?container={log.container}"
        for previous in (log.previous, not log.previous):
            query = f"{path}&previous={str(previous).lower()}&tailLines={_LOG_LINES}"
            try:
                answer = self._api.send("GET", query)
            except _NO_ANSWER as error:
                return f"(its log cannot be read: {error})"
            if answer.status == 403:
                return "(its log cannot be read: the user of the kubeconfig may not get pods/log)"
            if answer.ok and answer.text.strip():
                return answer.text
        return ""

    def _path(self, resource: str, *, apps: bool = False) -> str:
        group = "/apis/apps/v1" if apps else "/api/v1"
        return f"{group}/namespaces/{self._namespace}/{resource}"

    def _snapshot(self) -> Snapshot:
        deployment = self._api.ask("GET", f"{self._path('deployments', apps=True)}/{self._name}")
        if not deployment:
            return Snapshot({})
        labels: dict[str, str] = deployment["spec"]["selector"]["matchLabels"]
        selector = quote(",".join(f"{key}={value}" for key, value in labels.items()))
        replica_sets = self._path("replicasets", apps=True)
        sets = self._api.items(f"{replica_sets}?labelSelector={selector}") or []
        pods = self._api.items(f"{self._path('pods')}?labelSelector={selector}") or []
        found = Snapshot(deployment, sets, pods)
        unready = [pod for pod in found.new_pods if not is_ready(pod)][:_PODS]
        claims = self._claims(unready)
        about: list[Object] = [*unready, *claims, *([found.new] if found.new else [])]
        done = found.new is not None and not unready and _whole(found.new)
        events = [] if done else [event for one in about for event in self._events(one)]
        return Snapshot(deployment, sets, pods, claims, events, self._unissued())

    def _unissued(self) -> Symptom | None:
        """Return the obstacle of the Certificate; None as well if the user may not read it."""
        if not self._certificate:
            return None
        path = f"/apis/{API_VERSION}/namespaces/{self._namespace}"
        found = self._api.ask("GET", f"{path}/certificates/{self._certificate}")
        if not found:
            return None
        late = unissued(found, [])
        return late and unissued(found, self._api.items(f"{path}/certificaterequests") or [])

    def _claims(self, pods: Sequence[Object]) -> list[Object]:
        names = sorted({name for pod in pods for name in claim_names(pod)})
        asked = [self._api.ask("GET", f"{self._path('persistentvolumeclaims')}/{n}") for n in names]
        return [claim for claim in asked if claim]

    def _events(self, one: Object) -> Sequence[Object]:
        query = quote(f"involvedObject.uid={uid(one)}")
        return self._api.items(f"{self._path('events')}?fieldSelector={query}") or []


def _whole(replica_set: Object) -> bool:
    return replica_set.get("status", {}).get("replicas", 0) >= replica_set["spec"]["replicas"]
