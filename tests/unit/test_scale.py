"""The program's work grows in step with the entries of `inference`: calls and bytes, not seconds.

It runs under mocks and without Envoy. What this does not prove: the work of Pulumi's SDK, of the
engine and of the API server; `make bench ARGS="--only provisioning"` measures these.
"""

import cProfile
import pstats
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import components.gateway.check
from components.cluster.permissions import required
from components.gateway.check import check_gateways
from components.network.policies import policy_spec
from components.rollout.outage import outages, stated
from config.base import PROJECT_FOLDER
from config.flows import by_namespace, gateway_flows, gateway_pods, joined
from config.inventory import shared_flows
from config.load import parse
from config.sizing.capacity import summary
from tests import recording
from tests.unit import whole_program

SLACK = 1.1
COUNTS = (2, 4, 10)
_OURS = tuple(str(PROJECT_FOLDER / name) for name in ("__main__.py", "components", "config"))
_DATACLASS = "<string>"
"""File of the methods that a dataclass generates, such as the comparison of two flows."""


@pytest.fixture(autouse=True)
def without_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components.gateway.check, "validate", lambda _: [])


def entries(count: int) -> dict[str, Any]:
    """Parameters with so many entries of three shapes, and nodes for the largest number."""
    return {
        "inference": [
            {
                "namePrefix": f"s{number}-",
                "namespace": f"ai-namespace-{number}",
                "autoscaler": {"minReplicas": 2, "maxReplicas": 3},
                "triton": {"gpus": 1 + number % 3, "cpu": 1},
            }
            for number in range(count)
        ],
        "gpuNodes": {"kind": "existing", "maxSize": 1000},
        "platform": {"kind": "local", "cpuNodes": 200},
    }


def assert_linear(counts: Sequence[int], work: Callable[[int], float]) -> None:
    """Compare the work for each number of entries with a line through the first two."""
    few, more, *others = counts
    first = work(few)
    each = (work(more) - first) / (more - few)
    for count in others:
        assert work(count) <= SLACK * (first + each * (count - few)), count


def read_and_check(count: int) -> None:
    """Read the parameters, run every check of them, and build bootstraps and NetworkPolicies."""
    settings = parse(entries(count))
    check_gateways(settings)
    flows = by_namespace(shared_flows(settings))
    for stack in settings.inference:
        summary(settings, stack)
        own = gateway_flows(stack, settings.prometheus)
        policy_spec(gateway_pods(stack), joined(own, flows[stack.namespace]))
    required(settings)
    outages(settings, stated(settings), preview=True)


def calls(run: Callable[[], object]) -> pstats.Stats:
    profile = cProfile.Profile()
    profile.runcall(run)
    return pstats.Stats(profile)


def test_reading_and_checking_many_entries_takes_calls_in_proportion():
    def work(count: int) -> float:
        # Private, but older and steadier than the text that it prints.
        return calls(lambda: read_and_check(count)).prim_calls  # pyright: ignore

    work(2)  # what is imported and cached once
    assert_linear((10, 20, 40, 80), work)


def test_reading_and_checking_many_entries_takes_memory_in_proportion():
    def work(count: int) -> float:
        tracemalloc.start()
        try:
            read_and_check(count)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    work(2)
    assert_linear((10, 20, 40), work)


@pytest.fixture(scope="module")
def declared() -> dict[int, tuple[recording.Declared, pstats.Stats]]:
    """Declared resources, and the calls that declare them, for some numbers of entries."""

    def run(count: int) -> tuple[recording.Declared, pstats.Stats]:
        profile = cProfile.Profile()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(components.gateway.check, "validate", lambda _: [])
            found = recording.declare(
                lambda: profile.runcall(whole_program.program), config=entries(count)
            )
        return found, pstats.Stats(profile)

    run(1)
    return {count: run(count) for count in COUNTS}


def test_each_entry_adds_as_many_resources_and_dependencies_to_the_state(declared):
    def resources(count: int) -> float:
        return len(declared[count][0].resources)

    def dependencies(count: int) -> float:
        return sum(len(resource.depends_on) for resource in declared[count][0].resources)

    assert dependencies(COUNTS[0]) > 0
    assert_linear(COUNTS, resources)
    assert_linear(COUNTS, dependencies)


def test_declaring_many_entries_takes_calls_of_our_code_in_proportion(declared):
    def work(count: int) -> float:
        stats: dict[tuple[str, int, str], tuple[int, ...]] = declared[count][1].stats  # pyright: ignore
        return sum(
            called[0]
            for (file, _, _), called in stats.items()
            if file.startswith(_OURS) or file == _DATACLASS
        )

    assert work(COUNTS[0]) > 1000
    assert_linear(COUNTS, work)
