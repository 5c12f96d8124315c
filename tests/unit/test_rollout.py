"""Proofs that a rollout cannot succeed, and states that are none: one table, one clock.

The objects have the forms that a real API server hands out; that kubelet, scheduler and controllers
put these words in is shown on the clusters that run them (tests/integration, tests/serving).
"""

from typing import Any

import pytest

from components.rollout.status.progress import Done, Failed, Progress, Waiting, left_behind
from components.rollout.status.snapshot import Snapshot
from components.rollout.status.symptom import AWAY_SECONDS, PROOF_SECONDS
from tests.unit import rollout_objects as objects
from tests.unit.rollout_cases import LASTS, PROVEN, UNPROVEN, refused
from tests.unit.rollout_objects import event, snapshot, unplaced, waits

EMPTY = snapshot()
"""The rollout at the first look, before any pod is there."""


def looked(*seen: tuple[float, Snapshot], first: Snapshot = EMPTY) -> Any:
    """The last state of a rollout of which these snapshots were taken, after a first one."""
    progress = Progress(least=2)
    state = progress.observe(first, -1)
    for at, one in seen:
        state = progress.observe(one, at)
    return state


def lasting(one: Snapshot, seconds: float = PROOF_SECONDS) -> Any:
    return looked((0, one), (seconds, one))


@pytest.mark.parametrize("case", PROVEN.values(), ids=PROVEN.keys())
def test_some_obstacles_prove_at_once_that_a_rollout_cannot_succeed(case: Snapshot) -> None:
    assert isinstance(looked((0, case)), Failed)


@pytest.mark.parametrize("case", LASTS.values(), ids=LASTS.keys())
def test_some_obstacles_prove_it_once_they_lasted(case: Snapshot) -> None:
    assert isinstance(lasting(case, PROOF_SECONDS - 1), Waiting)
    failed = lasting(case)
    assert isinstance(failed, Failed)
    assert PROOF_SECONDS < 60


@pytest.mark.parametrize("case", UNPROVEN.values(), ids=UNPROVEN.keys())
def test_some_obstacles_never_prove_it_and_are_named(case: Snapshot) -> None:
    state = lasting(case, 100 * PROOF_SECONDS)
    assert isinstance(state, Waiting)
    assert state.symptoms
    assert "0 of 2 new pods ready; " in str(state)


@pytest.mark.parametrize("case", LASTS.values(), ids=LASTS.keys())
def test_what_ends_by_itself_in_time_is_not_cut_off(case: Snapshot) -> None:
    """And what comes back afterwards has its whole time again."""
    state = looked((0, case), (20, EMPTY), (40, case), (60, case))
    assert isinstance(state, Waiting)


def test_a_registry_that_comes_back_without_the_image_has_its_second_chance() -> None:
    away = snapshot(waits("ErrImagePull", objects.PULL_REFUSED))
    missing = snapshot(waits("ErrImagePull", objects.PULL_NOT_FOUND))
    assert isinstance(looked((0, away), (300, missing)), Waiting)
    assert isinstance(looked((0, away), (300, missing), (330, missing)), Failed)


def test_a_registry_that_does_not_answer_has_minutes_to_come_back() -> None:
    """The image's own name is no part of the reason."""
    for words in (objects.PULL_REFUSED, 'pull "example.com/none:1": 503 Service Unavailable'):
        away = snapshot(waits("ErrImagePull", words))
        assert isinstance(lasting(away, AWAY_SECONDS - 1), Waiting)
        assert isinstance(lasting(away, AWAY_SECONDS), Failed)


def test_kubelets_two_words_for_one_failed_pull_are_one() -> None:
    tries = snapshot(waits("ErrImagePull", objects.PULL_NOT_FOUND))
    waiting = snapshot(waits("ImagePullBackOff", 'Back-off pulling image "example.com/none:1"'))
    assert isinstance(looked((0, tries), (10, waiting), (30, tries)), Failed)


def test_progress_gives_a_quota_its_whole_time_again() -> None:
    """Each old pod that goes may make room for the next."""
    quota = refused('pods "t" is forbidden: exceeded quota: gpus')
    moved = Snapshot(quota.deployment, quota.replica_sets, quota.pods[:1], (), quota.events)
    assert isinstance(looked((0, quota), (20, moved), (45, moved)), Waiting)
    assert isinstance(looked((0, quota), (20, moved), (50, moved)), Failed)


def test_crashes_of_an_earlier_run_prove_nothing_until_the_next_one() -> None:
    """Their cause may be mended meanwhile, outside of the parameters."""
    before = snapshot(objects.crashed(5, at="2026-11-25T12:00:00Z"))
    again = snapshot(objects.crashed(6, at="2026-11-25T12:05:00Z"))
    assert isinstance(looked((200, before), first=before), Waiting)
    assert isinstance(looked((200, before), (250, again), first=before), Failed)
    assert left_behind(before) == ["triton-5d4f-a"]


def test_pods_that_were_ready_once_are_not_retried_by_hand() -> None:
    once = snapshot(objects.crashed(5), deployment=objects.rolled_out(2, available=0))
    assert left_behind(once) == []
    assert left_behind(Snapshot({})) == []


def test_a_refusal_of_an_earlier_run_proves_nothing_until_the_next_one() -> None:
    before = refused("exceeded quota: gpus")
    later = Snapshot(
        before.deployment,
        before.replica_sets,
        before.pods,
        (),
        [event("rs-5d4f", "FailedCreate", "exceeded quota: gpus", at="2026-11-25T12:09:00Z")],
    )
    assert isinstance(looked((300, before), first=before), Waiting)
    assert isinstance(looked((300, before), (301, later), (331, later), first=before), Failed)


def test_the_deadline_of_an_earlier_rollout_is_not_this_ones() -> None:
    late = PROVEN["the controller's own deadline"]
    assert isinstance(looked((500, late), first=late), Waiting)


def test_a_rollout_is_done_once_every_replica_is_new_and_available() -> None:
    assert isinstance(looked((0, snapshot(deployment=objects.rolled_out()))), Done)
    unseen = objects.rolled_out()
    unseen["status"]["observedGeneration"] = 1
    for almost in (
        unseen,
        objects.deployment(updatedReplicas=2),
        objects.deployment(wanted=3, replicas=2, updatedReplicas=2),
        objects.deployment(replicas=2, updatedReplicas=2, availableReplicas=1),
    ):
        assert isinstance(looked((0, snapshot(deployment=almost))), Waiting)


def test_a_fleet_that_the_scaler_enlarges_is_rolled_out_as_long_as_its_fewest_are_ready() -> None:
    """New replicas may wait for nodes that are still to be made, for many minutes."""
    grows = objects.rolled_out(20, available=2)
    assert isinstance(looked((0, snapshot(deployment=grows))), Done)
    broken = objects.rolled_out(20, available=1)
    assert isinstance(looked((0, snapshot(deployment=broken))), Waiting)


def test_a_crash_after_the_rollout_may_pass() -> None:
    crash = snapshot(objects.crashed(7), deployment=objects.rolled_out(2, available=1))
    assert isinstance(looked((0, crash), (20, crash)), Waiting)
    assert isinstance(looked((0, crash), (20, crash), (31, crash)), Failed)


def test_old_pods_that_serve_are_counted() -> None:
    failed = looked((0, snapshot(objects.crashed(3))))
    assert failed.old_ready == 2


def test_twenty_pods_that_wait_for_the_same_are_named_once() -> None:
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    same = [unplaced(words) for _ in range(20)]
    for index, one in enumerate(same):
        one["metadata"] |= {"name": f"t-{index}", "uid": str(index)}
    text = str(looked((0, snapshot(*same))))
    assert text.count("Insufficient") == 1
    assert "(and 19 more)" in text
