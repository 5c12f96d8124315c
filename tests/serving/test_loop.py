"""The closed loop: an overload grows the fleet to its most, and its end takes it back to its least.

One overload, of 400 calls held on one connection, for all tests. Client, gateway and fleet share
the machine. Not shown here: how long the loop takes on a machine that does nothing else, which
`make bench` measures; a fleet whose replicas really work on what they are asked.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.specs.triton import start_seconds
from config.capacity import (
    BURST_CALLS,
    WORKER_CALLS_PER_SECOND,
    Fleet,
    capacity,
    summary,
)
from config.settings import Settings
from ops.load.bed import stack_bed
from ops.load.client import Client
from ops.load.fleet import FleetWatch
from ops.load.overload import Bed, Load, Meanwhile, overload
from ops.load.record import Record
from ops.stack import read_settings
from tests.integration.checkout import Checkout
from tests.serving.accounts import accounted
from tests.serving.cluster import get
from tests.serving.steady import Fleet as Routed

AGREEMENT = 0.1
"""Share by which what is measured may exceed what was predicted."""

SHARED_CORES = 0.5
"""Share of the predicted that is left where client, gateway and fleet share a busy machine's two
cores. How near the fleet comes to it where they do not, `make bench` measures."""

QUICKLY_DOWN = {"cooldownSeconds": 45, "scaleDown": {"pods": 20, "periodSeconds": 15}}
"""The cooldown holds the whole fleet for one more burst once the load has ended."""

LOAD = Load(grow_seconds=180, shrink_seconds=300)

_NOTICED_SECONDS = 60.0
"""Longest time until the HPA has seen a burst: a scrape, a rate window, and two syncs."""


@dataclass(frozen=True)
class Loop:
    """What one overload showed."""

    settings: Settings
    preview: str
    """What `preview` printed before it."""
    record: Record
    up: tuple[float, float]
    """When `up` began and ended, with all replicas ready and loaded, `time.time` seconds."""
    bursts: dict[int, dict[str, Any]]
    """The client's report of a burst on one connection, by the replicas that it met."""

    @property
    def predicted(self) -> dict[int, Fleet]:
        """What the capacity summary says of the fleet at its least and at its most."""
        found = capacity(self.settings, self.settings.inference[0])
        return {fleet.replicas: fleet for fleet in (found.least, found.most)}


@pytest.fixture(scope="module")
def loop(served: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    served.set_config(inference=[{"autoscaler": QUICKLY_DOWN}])
    try:
        served.up().ok()
        bed = stack_bed(served.env, read_settings(served.env), "dev, on two shared cores")
        yield _run(served, bed, tmp_path_factory.mktemp("loop"))
        _wait_until_small(bed)
    finally:
        served.reset_config()
        served.up().ok()


def _run(served: Checkout, bed: Bed, folder: Path) -> Loop:
    settings = read_settings(served.env)
    preview = served.ops("preview").ok().output
    up: list[float] = []
    bursts: dict[int, dict[str, Any]] = {}

    def change_the_deployment() -> None:
        # One field of Triton's Deployment, and nothing of its pods.
        seconds = settings.gpu_nodes.node_start_seconds + 1
        served.set_config(gpuNodes={"nodeStartSeconds": seconds})
        up.append(time.time())
        served.up().ok()
        up.append(time.time())

    def burst(replicas: int) -> None:
        with Client.start(
            bed.address,
            calls=BURST_CALLS,
            rate=WORKER_CALLS_PER_SECOND,
            enter=bed.enter,
            folder=folder,
        ) as client:
            bursts[replicas] = client.wait(120)

    meanwhile = Meanwhile(while_full=change_the_deployment, when_spent=lambda: burst(bed.most))
    record = overload(bed, LOAD, folder, meanwhile=meanwhile)
    Console().print(record.table())
    Routed(served, settings).wait_until_routed()
    burst(bed.least)
    return Loop(settings, preview, record, (up[0], up[1]), bursts)


def _wait_until_small(bed: Bed) -> None:
    """The last burst has the scaler grow the fleet once more; let that pass."""
    with FleetWatch(bed.client, bed.namespace, bed.deployment, bed.hpa) as watch:
        with suppress(TimeoutError):
            watch.until(lambda step: step.wanted > bed.least, _NOTICED_SECONDS)
        watch.until(
            lambda step: step.wanted == step.replicas == step.ready == bed.least,
            LOAD.shrink_seconds or 0,
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
    for report in (loop.record.client, *loop.bursts.values()):
        accounted(report)
        assert report["connections_killed"] == 0, report["connections"]
        assert report["connections_opened"] == 1


def test_the_fleet_answers_what_it_can_from_its_least_on(loop: Loop) -> None:
    """While it is too small, too: what is refused costs those nothing that are admitted.

    Not shown: the half of goodput that pods which start beside it on the same two cores may take.
    """
    least = loop.record.goodput_at_least
    assert least is not None
    assert least >= SHARED_CORES * loop.predicted[loop.record.least].calls_per_second


def test_the_whole_fleet_answers_what_the_summary_says(loop: Loop) -> None:
    """Not shown: that the sample's stated service time is any real model's."""
    most = loop.record.goodput_at_most
    predicted = loop.predicted[loop.record.most].calls_per_second
    assert most is not None
    assert SHARED_CORES * predicted <= most <= (1 + AGREEMENT) * predicted


def test_a_burst_is_answered_no_further_than_the_summary_says(loop: Loop) -> None:
    """Not shown: that it is answered so far, for which the client needs a core of its own.

    Its calls burn their deadline while they wait for one, and those in time find a busy fleet.
    """
    for replicas, report in loop.bursts.items():
        answered = report["outcomes"]["ok"]
        assert 0 < answered <= (1 + AGREEMENT) * loop.predicted[replicas].burst_ok


def test_preview_prints_the_summary_that_is_held_to_the_measured(loop: Loop) -> None:
    """Not shown: that anybody reads it."""
    for line in summary(loop.settings, loop.settings.inference[0]).splitlines():
        assert line.strip() in loop.preview


def test_up_leaves_the_scaled_fleet_alone(loop: Loop, served: Checkout) -> None:
    """It changed the Deployment, whose replicas stayed the scaler's all the while.

    Not shown: a change of the pods, which rolls the fleet at the size that it has.
    """
    began, ended = loop.up
    before = [step for step in loop.record.steps if step.at < began]
    during = [step for step in loop.record.steps if began <= step.at <= ended]
    assert {step.replicas for step in (before[-1], *during)} == {loop.record.most}
    deployments = get(served, "deployments", "-n", loop.settings.inference[0].namespace)
    stated = {found["metadata"]["name"]: found["spec"] for found in deployments}
    now = read_settings(served.env)
    (stack,) = now.inference
    deadline_seconds = stated[stack.deployment_name]["progressDeadlineSeconds"]
    assert deadline_seconds == start_seconds(stack, now.gpu_nodes)
    assert deadline_seconds != start_seconds(stack, loop.settings.gpu_nodes)
