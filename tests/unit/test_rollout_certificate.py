"""The wait for the Certificate whose Secret a rollout's pods mount.

The API server is a stand-in. tests/integration/test_cert_manager.py has cert-manager's own words,
except for the refusal of a request: the CA issuer refuses none.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.rollout import watch
from components.rollout.component import Rollout, await_rollouts
from components.rollout.status.certificate import unissued
from components.rollout.status.progress import Failed, Progress
from components.rollout.status.snapshot import Snapshot
from components.rollout.watch import Watch
from tests import recording
from tests.unit import rollout_objects as objects
from tests.unit.rollout_objects import event, pod, snapshot

MISSING = 'MountVolume.SetUp failed for volume "tls" : secret "triton-tls" not found'
PENDING = 'Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "internal" not found'

Json = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str, generation: int = 1) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


def certificate(*conditions: Json, generation: int = 1) -> Json:
    metadata = {"name": "triton", "namespace": "ai", "uid": "c", "generation": generation}
    return {"metadata": metadata, "status": {"conditions": conditions}}


ABSENT = condition("Ready", "False", "DoesNotExist", "the Secret does not exist")
READY = condition("Ready", "True", "Ready", "up to date")
DENIED = condition("Issuing", "False", "Denied", "a policy denies it")


def request(name: str, created: str, message: str, owner: str = "c") -> Json:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": created,
            "ownerReferences": [{"uid": owner}],
        },
        "status": {"conditions": [condition("Ready", "False", "Pending", message)]},
    }


class StandIn:
    """A rollout that is done, and one state of its Certificate after another."""

    def __init__(self, *seen: Json, requests: Sequence[Json] = (), rollout: Any = None) -> None:
        self.seen = [*seen]
        self.requests = requests
        self.rollout = rollout or snapshot(deployment=objects.rolled_out())

    def ask(self, _method: str, path: str, *_: object) -> Json:
        if path.endswith("/namespaces/ai/certificates/triton"):
            return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        return dict(self.rollout.deployment) if "/deployments/" in path else {}

    def items(self, path: str) -> Sequence[Any]:
        if path == "/apis/cert-manager.io/v1/namespaces/ai/certificaterequests":
            return self.requests
        if "/replicasets?" in path:
            return self.rollout.replica_sets
        if "/pods?" in path:
            return self.rollout.pods
        return [one for one in self.rollout.events if one["involvedObject"]["uid"] in path]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)


def watched(api: Any, seconds: float = 60) -> tuple[str, list[str]]:
    said: list[str] = []
    times = seconds, seconds
    one = Watch(api, "ai", "triton", 2, times, said.append, "triton")
    return asyncio.run(one.result()), said


def test_up_waits_for_the_certificate_and_reports_its_requests_reason() -> None:
    requests = [
        request("triton-2", "2026-11-26T10:00:01Z", PENDING),
        request("triton-1", "2026-11-26T10:00:00Z", "an earlier one"),
        request("other-1", "2026-11-26T10:00:02Z", "another one's", owner="other"),
    ]
    failure, said = watched(
        StandIn(certificate(), certificate(ABSENT), certificate(READY), requests=requests)
    )
    assert failure == ""
    assert said == [f"0 of 2 new pods ready; Certificate triton: not issued: {PENDING}"]


def test_up_fails_without_the_certificate_although_its_pods_are_ready() -> None:
    def program() -> None:
        import pulumi_kubernetes as kubernetes

        rollout = Rollout(
            deployment=kubernetes.apps.v1.Deployment(
                "d", metadata={"name": "triton", "namespace": "ai"}
            ),
            rollout_seconds=0,
            certificate="triton",
        )
        stand_in: Any = StandIn(certificate(ABSENT))
        await_rollouts(pulumi.Output.from_input(stand_in), [rollout])

    with pytest.raises(pulumi.RunError, match="Certificate triton: not issued: the Secret"):
        recording.declare(program)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (certificate(), "cert-manager has set no condition: do its pods run?"),
        (certificate(ABSENT), "the Secret does not exist"),
        # The certificate of the names before.
        (certificate(READY, generation=2), "up to date"),
    ],
)
def test_the_end_of_the_time_names_the_certificate(seen: Json, words: str) -> None:
    failure, _ = watched(StandIn(seen), seconds=0)
    assert failure.splitlines()[1] == f"  Certificate triton: not issued: {words}"


def test_a_request_that_was_refused_fails_the_rollout_at_once() -> None:
    failure, _ = watched(StandIn(certificate(ABSENT, DENIED)))
    assert failure.splitlines()[:2] == [
        "Deployment ai/triton cannot be rolled out:",
        "  Certificate triton: Denied: a policy denies it; cert-manager retries an hour after a "
        "failure or later. To retry at once: cmctl -n ai renew triton",
    ]


@pytest.mark.parametrize(
    "seen",
    [
        # A renewal that fails ends no call: alerts report it.
        certificate(READY, DENIED),
        # The user may not read it, or it is gone.
        {},
    ],
)
def test_a_certificate_in_force_fails_no_rollout(seen: Json) -> None:
    assert watched(StandIn(seen)) == ("", [])


def test_a_refusal_of_earlier_names_fails_no_rollout() -> None:
    before = certificate(ABSENT, DENIED, generation=2)
    now = certificate({**READY, "observedGeneration": 2}, generation=2)
    assert watched(StandIn(before, before, now))[0] == ""


def test_pods_that_cannot_mount_its_secret_prove_nothing_meanwhile() -> None:
    blocked = snapshot(pod(), events=[event("pod-5d4f-a", "FailedMount", MISSING)])
    late = replace(blocked, unissued=unissued(certificate(ABSENT), []))

    def ends(*seen: Snapshot) -> bool:
        progress = Progress(least=2)
        # The first failed attempt may be of an earlier run.
        again = event("pod-5d4f-a", "FailedMount", MISSING, at="2026-11-25T12:00:30Z")
        states = [
            progress.observe(replace(one, events=[again] if now else one.events), now)
            for now, one in zip((0, 10, 50), seen, strict=True)
        ]
        return isinstance(states[-1], Failed)

    assert ends(blocked, blocked, blocked)
    assert not ends(late, late, late)
    # kubelet's next attempt counts, and not one from before the Secret was there.
    assert not ends(late, blocked, blocked)
