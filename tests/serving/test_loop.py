"""The closed loop: an overload grows the fleet to its most, and its end takes it back to its least.

One overload, of 300 calls held on one connection, for all tests. Client, gateway and fleet share
the machine. Not shown here: how long the loop takes on a machine that does nothing else, which
`make bench` measures; a fleet whose replicas really work on what they are asked.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from bench.overload.overload import Load, Meanwhile, OverloadBed, overload
from bench.overload.record import Record
from bench.overload.stack_bed import stack_bed
from bench.overload.summary_burst import Burst, burst
from components.triton.workload import start_seconds
from config.selectors import triton_selector
from config.settings import Settings
from config.sizing.capacity import Fleet, capacity, summary
from ops.stack.lifecycle import read_settings
from tests.integration.checkout import Checkout
from tests.serving.accounts import accounted
from tests.serving.cluster import get, selected, staying
from tests.serving.replicas import replicas
from tests.serving.steady import Held

AGREEMENT = 0.1
"""Share by which measured goodput may exceed the predicted: timelines are read in steps."""

SHARED_CORES = 0.5
"""Share of the predicted that is left where client, gateway and fleet share a busy machine's two
cores. `make bench` measures how near the fleet comes to it on an idle machine."""

QUICKLY_DOWN = {"cooldownSeconds": 45, "scaleDown": {"pods": 20, "periodSeconds": 15}}
"""The cooldown holds the whole fleet for one more burst once the load has ended."""

_TRIES = 3
"""Bursts of a few seconds each, of which the machine must leave one its cores."""

_BURST_SHARE = 0.25
"""Share of the predicted that a burst leaves where its own calls, all at once, take the cores."""

HALF_AS_FAST = {"serviceTimeSeconds": 0.04}
"""Twice dev's: half the calls, which two cores carry for client, gateway and fleet alike."""

LOAD = Load(window=300, niceness=10, grow_seconds=180, shrink_seconds=300)
"""More than twice what two replicas admit, and nearly what the scaler wants twenty to hold."""


@dataclass(frozen=True)
class Loop:
    """Record of one overload."""

    settings: Settings
    preview: str
    """Output of `preview` before it."""
    record: Record
    up: tuple[float, float]
    """When `up` began and ended, with all replicas ready and loaded, `time.time` seconds."""
    pods: tuple[set[str], set[str]]
    """UIDs of the fleet's pods before and after that `up`."""
    restarts: tuple[int, ...]
    """Containers that ended in each of the loaded pods."""
    bursts: tuple[Burst, ...]
    """Those that met the whole fleet, and those that met its least."""

    @property
    def predicted(self) -> dict[int, Fleet]:
        """Figures of the capacity summary for the smallest and the largest fleet."""
        found = capacity(self.settings, self.settings.inference[0])
        return {fleet.replicas: fleet for fleet in (found.least, found.most)}


@pytest.fixture(scope="module")
def loop(served: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    held = Held(served)
    served.set_config(inference=[{"autoscaler": QUICKLY_DOWN, "traffic": HALF_AS_FAST}])
    try:
        served.up().ok()
        bed = stack_bed(served.env, read_settings(served.env), "dev, on two shared cores")
        yield _run(served, bed, tmp_path_factory.mktemp("loop"))
        # The last burst has the scaler grow the fleet, and its cooldown would keep it.
        held.at(bed.least).wait_until_calm()
    finally:
        held.release()


def _run(served: Checkout, bed: OverloadBed, folder: Path) -> Loop:
    settings = read_settings(served.env)
    preview = served.ops("preview").ok().output
    (stack,) = settings.inference
    up: list[float] = []
    pods: list[set[str]] = []
    bursts: list[Burst] = []
    restarts: list[int] = []

    def fleet() -> set[str]:
        labels = selected(triton_selector(stack))
        found = staying(get(served, "pods", "-n", stack.namespace, "-l", labels))
        return {pod["metadata"]["uid"] for pod in found}

    def change_the_deployment() -> None:
        # One field of Triton's Deployment, and nothing of its pods.
        seconds = settings.gpu_nodes.pool.node_start_seconds + 1
        served.set_config(gpuNodes={"kind": "existing", "nodeStartSeconds": seconds})
        pods.append(fleet())
        restarts.extend(replica.restarts for replica in replicas(served))
        up.append(time.time())
        served.up().ok()
        up.append(time.time())
        pods.append(fleet())

    def send(replicas: int) -> None:
        for _ in range(_TRIES):
            bursts.append(burst(bed, stack, replicas, folder))
            if bursts[-1].share >= _BURST_SHARE:
                break

    meanwhile = Meanwhile(while_full=change_the_deployment, when_spent=lambda: send(bed.most))
    record = overload(bed, LOAD, folder, meanwhile=meanwhile)
    Console().print(record.table())
    send(bed.least)
    return Loop(
        settings=settings,
        preview=preview,
        record=record,
        up=(up[0], up[1]),
        pods=(pods[0], pods[1]),
        restarts=tuple(restarts),
        bursts=tuple(bursts),
    )


def test_a_sustained_overload_takes_the_fleet_to_its_most_and_its_end_back(loop: Loop) -> None:
    """Every step of the loop happened, in its order. Not shown: how soon, on another machine."""
    steps = {milestone.what: milestone.at_seconds for milestone in loop.record.milestones}
    assert None not in steps.values(), steps
    ordered = [
        "overload begins",
        "HPA wants more",
        "first new one ready",
        "all 20 ready",
        "load ends",
        "back at 2",
    ]
    times = [steps[what] or 0.0 for what in ordered]
    assert times == sorted(times), steps


def test_no_connection_is_killed_and_every_call_is_accounted_for(loop: Loop) -> None:
    """Neither by the overload nor by a burst. Not shown: a network between client and gateway."""
    for report in (loop.record.client, *(found.report for found in loop.bursts)):
        accounted(report)
        assert report["connections_killed"] == 0, report["connections"]
        assert report["connections_opened"] == 1


def test_no_replica_is_taken_for_dead_while_it_is_overloaded(loop: Loop) -> None:
    """By its own watchdog, whose inferences wait in the same queue; nor by a probe of kubelet's."""
    assert loop.restarts == (0,) * loop.record.most


def test_the_fleet_answers_what_it_can_from_its_least_on(loop: Loop) -> None:
    """While it is too small, too: what is refused costs those nothing that are admitted.

    Not shown: the half of goodput that pods which start beside it on the same two cores may take.
    """
    least = loop.record.goodput_at_least
    assert least is not None
    assert least >= SHARED_CORES * loop.predicted[loop.record.least].calls_per_second


def test_the_whole_fleet_answers_what_the_summary_says(loop: Loop) -> None:
    """Not more than predicted; not less, as far as a busy machine lets it.

    Not shown: that the sample's stated service time is any real model's.
    """
    most = loop.record.goodput_at_most
    predicted = loop.predicted[loop.record.most].calls_per_second
    assert most is not None
    assert SHARED_CORES * predicted <= most <= (1 + AGREEMENT) * predicted


def test_a_burst_is_answered_as_far_as_the_summary_says(loop: Loop) -> None:
    """Of 50,000 calls on one connection, as fast as a gateway takes them.

    A gateway that shares its core takes longer than the summary's two seconds, in which the fleet
    answers more: the summary is held to the time that they took. Not shown: that a busy machine,
    on which a call that waits for the core misses its deadline, answers all of it.
    """
    best = {
        replicas: max(found.share for found in loop.bursts if found.replicas == replicas)
        for replicas in (loop.record.most, loop.record.least)
    }
    assert all(_BURST_SHARE <= share <= 1 + AGREEMENT for share in best.values()), best


def test_preview_prints_the_summary_that_is_held_to_the_measured(loop: Loop) -> None:
    """Not shown: that anybody reads it."""
    for line in summary(loop.settings, loop.settings.inference[0]).splitlines():
        assert line.strip() in loop.preview


def test_up_leaves_the_scaled_fleet_alone(loop: Loop, served: Checkout) -> None:
    """It changed the Deployment, whose replicas stayed the scaler's and whose pods stayed at all.

    Not shown: a change of the pods, which rolls the fleet at the size that it has.
    """
    began, ended = loop.up
    before = [step for step in loop.record.steps if step.at < began]
    during = [step for step in loop.record.steps if began <= step.at <= ended]
    assert {step.replicas for step in (before[-1], *during)} == {loop.record.most}
    pods_before, pods_after = loop.pods
    assert len(pods_before) == loop.record.most
    assert pods_after == pods_before
    deployments = get(served, "deployments", "-n", loop.settings.inference[0].namespace)
    stated = {found["metadata"]["name"]: found["spec"] for found in deployments}
    now = read_settings(served.env)
    (stack,) = now.inference
    deadline_seconds = stated[stack.deployment_name]["progressDeadlineSeconds"]
    assert deadline_seconds == start_seconds(stack, now.gpu_nodes.pool)
    assert deadline_seconds != start_seconds(stack, loop.settings.gpu_nodes.pool)
