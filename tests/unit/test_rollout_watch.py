"""Watching one rollout: what is asked of the API server, what is told, and when it is given up.

The API server is a stand-in that answers from a list of snapshots; the real ones are asked in
tests/integration and tests/serving.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pulumi
import pytest

from components.common.kubernetes_api import Answer, ApiUnreachableError
from components.rollout import component, watch
from components.rollout.component import Rollout
from components.rollout.status.message import telling
from components.rollout.status.snapshot import Snapshot
from components.rollout.watch import Watch
from tests import recording
from tests.unit import rollout_objects as objects
from tests.unit.rollout_objects import snapshot, unplaced, waits


class StandIn:
    """Answers from one snapshot after another; the last one stays."""

    def __init__(self, *seen: Snapshot | Exception, log: Answer | None = None) -> None:
        self.seen: list[Snapshot | Exception] = [*seen]
        self.log = log or Answer(404, "")
        self.asked: list[tuple[str, str]] = []

    def ask(self, method: str, path: str, *_: object) -> dict[str, Any]:
        self.asked.append((method, path))
        if "/deployments/" not in path:
            return {}
        # Each look begins with the Deployment.
        now = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        if isinstance(now, Exception):
            raise now
        self.now = now
        return dict(now.deployment)

    def items(self, path: str) -> Sequence[Any]:
        if "/replicasets?" in path:
            return self.now.replica_sets
        if "/pods?" in path:
            return self.now.pods
        return [event for event in self.now.events if event["involvedObject"]["uid"] in path]

    def send(self, method: str, path: str) -> Answer:
        self.asked.append((method, path))
        return self.log


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)


def watched(api: StandIn, times: tuple[float, float] = (60, 60)) -> tuple[str, list[str]]:
    said: list[str] = []
    stand_in: Any = api
    return asyncio.run(Watch(stand_in, "ai", "triton", 2, times, said.append).result()), said


DONE = snapshot(deployment=objects.rolled_out())


def test_a_rollout_that_is_done_is_left_alone() -> None:
    api = StandIn(DONE)
    assert watched(api) == ("", [])
    assert {method for method, _ in api.asked} == {"GET"}


def test_the_current_obstacle_is_reported_once_until_it_changes() -> None:
    nodes = snapshot(unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
    pulls = snapshot(waits("ErrImagePull", objects.PULL_REFUSED))
    failure, said = watched(StandIn(nodes, nodes, nodes, pulls, pulls, DONE))
    assert failure == ""
    assert len(said) == 2
    assert "Insufficient nvidia.com/gpu" in said[0]
    assert "connection refused" in said[1]


def test_an_api_server_that_is_away_for_a_moment_is_waited_for() -> None:
    away = ApiUnreachableError("connection refused")
    failure, said = watched(StandIn(away, away, DONE))
    assert failure == ""
    assert said == ["the API server does not answer: connection refused"]


def test_an_api_server_that_stays_away_fails_the_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "UNREACHABLE_SECONDS", 0)
    failure, _ = watched(StandIn(ApiUnreachableError("connection refused")))
    assert "the rollout of Deployment" in failure
    assert "is unknown" in failure


def test_a_failure_quotes_the_log_of_the_container_that_ended() -> None:
    api = StandIn(snapshot(), snapshot(objects.crashed(3)), log=Answer(200, "E: no weights\n"))
    failure, _ = watched(api)
    assert failure.splitlines() == [
        "Deployment ai/triton cannot be rolled out:",
        "  pod triton-5d4f-a: container triton crashed 3 times: Error, exit code 1",
        "  last log lines of its container triton:",
        "    E: no weights",
        "  2 pods of the previous version keep serving",
    ]
    assert "previous=true" in api.asked[-1][1]


def test_the_cause_is_reported_although_a_server_prints_its_options_after_it() -> None:
    cause = "E1126 01:54 model_lifecycle.cc:654] failed to load 'broken': RuntimeError: weights"
    table = [f"| option {n}   |  value   |" for n in range(60)]
    rows = ["| broken | 1 | UNAVAILABLE: Internal: RuntimeError: weights |", *table]
    last = ["I1126 01:55 server.cc:345] stopped", "error: failed to load all models"]
    chatter = [f"I1126 01:53 python_be.cc:{n}] loading" for n in range(100)]
    assert telling("\n".join([*chatter, cause, *rows, *last]))[-4:] == [
        cause,
        rows[0],
        *last,
    ]
    assert telling("one\ntwo\n") == ["one", "two"]


def test_a_user_who_may_not_read_logs_gets_a_message() -> None:
    api = StandIn(snapshot(), snapshot(objects.crashed(3)), log=Answer(403, "forbidden"))
    assert "may not get pods/log" in watched(api)[0]


def test_the_end_of_the_time_tells_what_was_waited_for() -> None:
    nodes = snapshot(unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
    failure, _ = watched(StandIn(nodes), times=(60, 0))
    assert "is not rolled out after 0 s, 0 of 2 new pods are ready" in failure
    assert "Insufficient nvidia.com/gpu" in failure


def test_an_earlier_runs_failed_pods_are_retried_at_once() -> None:
    refused = Snapshot(
        objects.deployment(),
        [objects.replica_set(objects.NEW, 2, replicas=2, made=1)],
        [objects.crashed(5)],
        (),
        [objects.event("rs-5d4f", "FailedCreate", "exceeded quota")],
    )
    api = StandIn(refused, DONE)
    assert watched(api)[0] == ""
    changes = [(method, path) for method, path in api.asked if method != "GET"]
    assert changes == [
        ("DELETE", "/api/v1/namespaces/ai/pods/triton-5d4f-a"),
        ("PATCH", "/apis/apps/v1/namespaces/ai/replicasets/triton-5d4f"),
    ]


DONE_WELL = ("", False)


def declared(*ends: tuple[str, bool], preview: bool = False) -> None:
    """A program with as many Deployments, whose rollouts end so."""
    left = iter(ends)

    async def outcome(*_: object) -> tuple[str, bool]:
        return next(left)

    def program() -> None:
        import pulumi_kubernetes as kubernetes

        found = [
            Rollout(deployment=kubernetes.apps.v1.Deployment(f"d{n}", metadata={"name": f"d{n}"}))
            for n in range(len(ends))
        ]
        component.await_rollouts(pulumi.Output.from_input(None), found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(component, "_outcome", outcome)
        recording.declare(program, preview=preview)


def test_one_message_names_all_failures() -> None:
    with pytest.raises(pulumi.RunError) as failed:
        declared(("first", False), DONE_WELL, ("second", False))
    assert sorted(str(failed.value).split("\n\n")[:2]) == ["first", "second"]
    declared(DONE_WELL, DONE_WELL)


def test_a_preview_waits_for_nothing() -> None:
    declared(("first", False), preview=True)


def seen_once(*seen: Snapshot | Exception) -> tuple[tuple[str, bool], StandIn]:
    """Ask about a rollout once."""
    api = StandIn(*seen)
    stand_in: Any = api
    return asyncio.run(Watch(stand_in, "ai", "triton", 2, (60, 60), [].append).now()), api


def test_a_rollout_that_is_not_awaited_is_asked_about_once() -> None:
    nodes = snapshot(unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
    (text, may_succeed), api = seen_once(nodes, DONE)
    assert may_succeed
    assert text.startswith("Deployment ai/triton is not yet rolled out: 0 of 2 new pods ready")
    assert "Insufficient nvidia.com/gpu" in text
    assert len(api.seen) == 1
    assert {method for method, _ in api.asked} == {"GET"}


def test_a_rollout_that_has_ended_is_a_success_although_it_is_not_awaited() -> None:
    assert seen_once(DONE)[0] == ("", False)
    (text, may_succeed), _ = seen_once(ApiUnreachableError("connection refused"))
    assert "is unknown: connection refused" in text
    assert not may_succeed


def test_up_never_succeeds_before_the_rollout_and_names_the_command_that_waits() -> None:
    pending = ("Deployment ai/triton is not yet rolled out: 3 of 20 new pods ready", True)
    with pytest.raises(pulumi.RunError) as failed:
        declared(pending, DONE_WELL)
    first, last = str(failed.value).split("\n\n")
    assert first == pending[0]
    assert last.startswith("not yet rolled out: everything is applied. `make wait`")
    with pytest.raises(pulumi.RunError) as failed:
        declared(pending, ("first", False))
    assert "Correct the parameters" in str(failed.value)
    assert "make wait" not in str(failed.value)
