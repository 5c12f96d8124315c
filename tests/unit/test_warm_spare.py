"""Warm spares as they are declared; tests/integration shows that a replica takes their place."""

from typing import Any

import pytest

from components.cluster.permissions import VERBS, required
from components.cluster.preflight.pods import kinds
from config.part import ApiResource
from config.schema.overrides import with_overrides
from config.settings import Settings
from config.sizing.capacity import capacity, summary
from tests.recording import Declared
from tests.unit.whole_program import run

SPARES = {"inference": [{"triton": {"gpus": 2, "warmSpare": {"replicas": 2}}}]}
FEW = {"inference[0].autoscaler.maxReplicas": 7}
WITH_SPARES = with_overrides(Settings.model_validate(SPARES), FEW)


@pytest.fixture(scope="module")
def program() -> Declared:
    return run({"inference": [{**SPARES["inference"][0], "autoscaler": {"maxReplicas": 7}}]})


@pytest.fixture(scope="module")
def pods(program: Declared) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pods of Triton and of its placeholders."""
    triton, spare = (
        program.one("kubernetes:apps/v1:Deployment", f"triton-{name}")["spec"]["template"]
        for name in ("inference-deployment", "warm-spare")
    )
    return triton["spec"], spare["spec"]


def test_a_placeholder_has_the_size_and_the_place_of_a_replica(pods):
    triton, spare = pods
    (replica,), (placeholder,), (image,) = (
        triton["containers"],
        spare["containers"],
        spare["initContainers"],
    )
    assert placeholder["resources"] == image["resources"] == replica["resources"]
    assert placeholder["resources"]["limits"]["nvidia.com/gpu"] == "2"
    for key in ("nodeSelector", "tolerations"):
        assert spare[key] == triton[key]


def test_a_placeholder_pulls_the_image_that_the_replica_in_its_place_needs(pods):
    triton, spare = pods
    assert spare["initContainers"][0]["image"] == triton["containers"][0]["image"]


def test_a_replica_preempts_placeholders_for_which_the_cluster_autoscaler_adds_nodes(program, pods):
    made = program.one("kubernetes:scheduling.k8s.io/v1:PriorityClass")
    triton, spare = pods
    assert -10 <= made["value"] <= -1
    assert spare["priorityClassName"] == made["metadata"]["name"]
    assert "priorityClassName" not in triton
    assert spare["terminationGracePeriodSeconds"] == 1


def test_no_service_selects_a_placeholder(program):
    made = program.one("kubernetes:apps/v1:Deployment", "triton-warm-spare")
    carried = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= carried.items()
    for service in program.all("kubernetes:core/v1:Service"):
        assert not service.inputs["spec"]["selector"].items() <= carried.items()


def test_a_placeholder_may_connect_to_nothing(program):
    """Their own policy, because a program of another team may declare no default deny."""
    made = program.one("kubernetes:apps/v1:Deployment", "triton-warm-spare")
    carried = made["spec"]["template"]["metadata"]["labels"]
    policies = program.all("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    (own,) = [
        policy.inputs["spec"]
        for policy in policies
        if (selected := policy.inputs["spec"]["podSelector"].get("matchLabels"))
        and selected.items() <= carried.items()
    ]
    assert own["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & own.keys()
    others = [policy.name for policy in run({}).all("networking.k8s.io/v1:NetworkPolicy")]
    assert not [name for name in others if "spare" in name]


def test_there_is_none_unless_it_is_stated():
    assert run({}).all("kubernetes:scheduling.k8s.io/v1:PriorityClass") == []
    assert "warm spares" not in summary(Settings(), Settings().inference[0])


def test_the_summary_says_what_they_cost_and_what_they_save():
    (stack,) = WITH_SPARES.inference
    text = summary(WITH_SPARES, stack)
    assert "warm spares 2, which hold 4 GPUs idle" in text
    assert "starts up to 780 s earlier" in text
    # Seven replicas of two GPUs and two placeholders, two to a node; then one more of a rollout.
    can = capacity(WITH_SPARES, stack)
    assert (can.gpus, can.nodes, can.nodes_in_rollout) == (14, 5, 5)


def test_preflight_asks_for_their_permissions_and_tries_their_pod():
    needed = required(WITH_SPARES)
    assert needed[ApiResource("scheduling.k8s.io", "priorityclasses")] == VERBS
    assert ApiResource("scheduling.k8s.io", "priorityclasses") not in required(Settings())
    (tried,) = [kind for kind in kinds(WITH_SPARES) if kind.who == "the warm spares'"]
    assert (tried.fewest, tried.most) == (2, 2)
