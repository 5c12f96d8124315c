"""Node groups that retire or go, with the replicas on them; the API server's answers are written.

Not shown here: that EKS labels its nodes so, and that the engine hands out its state so.
"""

from typing import Any

import pytest

from components.rollout.node_groups import node_groups
from components.state.ownership import held_node_groups
from config.selectors import triton_selector
from config.settings import Settings
from ops.pr.impact import impact

HELD = {"gpu-nodes": "gpu-nodes-1a2b3c4", "beside-nodes": "beside-nodes-5d6e7f8"}


class Api:
    """Answers for one namespace whose three replicas run on two nodes of the group `gpu`."""

    def __init__(self, *, listed: bool = True) -> None:
        self.listed = listed

    def items(self, path: str) -> list[dict[str, Any]] | None:
        if not self.listed:
            return None
        if path.startswith("/api/v1/nodes?labelSelector=eks.amazonaws.com/nodegroup="):
            names = ["a", "b"] if path.endswith("=gpu-nodes-1a2b3c4") else ["c"]
            return [{"metadata": {"name": name}} for name in names]
        stack = Settings().inference[0]
        assert path.startswith(f"/api/v1/namespaces/{stack.namespace}/pods?labelSelector=")
        assert all(f"{key}={value}" in path for key, value in triton_selector(stack).items())
        pending: dict[str, Any] = {"spec": {}}
        return [pending, *({"spec": {"nodeName": name}} for name in ("a", "a", "b"))]


def found(tier: str, *groups: dict[str, Any], preview: bool = False, listed: bool = True):
    settings = Settings.model_validate(
        {"tier": tier, "gpu_nodes": {"kind": "eksNodeGroups", "groups": list(groups)}}
    )
    return list(node_groups(settings, Api(listed=listed), HELD, preview=preview))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tier", "preview", "severity", "says"),
    [
        ("prod", True, "warn", "`up` would delete"),
        ("prod", False, "refuse", "`up` would delete"),
        ("staging", True, "warn", "`up` deletes"),
        ("staging", False, "warn", "`up` deletes"),
    ],
)
def test_a_group_that_goes_with_replicas_on_it_is_an_outage(tier, preview, severity, says):
    (problem,) = found(tier, {"name": "beside"}, preview=preview)
    assert problem.severity == severity
    assert problem.reason.startswith(f"OUTAGE: {says} the node group gpu with 3 replicas on it")
    assert "retiring: true" in problem.fix


def test_a_group_that_goes_without_replicas_is_none():
    assert found("prod", {"name": "gpu"}) == []


def test_a_user_without_the_right_to_look_is_told_so_much():
    (problem, _) = sorted(found("staging", {"name": "new"}, listed=False), key=str)
    assert "an unknown number of replicas" in problem.reason


def test_a_retiring_group_is_drained_and_then_removed():
    (full,) = found("prod", {"name": "gpu", "retiring": True}, {"name": "beside"})
    assert full.severity == "warn"
    assert full.reason.startswith("3 replicas still run on the node group gpu")
    assert "kubectl drain --selector kubemind-inference/node-group=gpu " in full.fix
    (empty,) = found("prod", {"name": "gpu"}, {"name": "beside", "retiring": True})
    assert empty.fix == "delete its entry from gpuNodes.groups"


def test_a_pull_requests_comment_says_the_outage_first():
    (problem,) = found("prod", {"name": "beside"}, preview=True)
    (first, *_) = impact([], [str(problem)])
    assert first.startswith("OUTAGE: `up` would delete the node group gpu with 3 replicas")
    assert first.endswith("need to start.")


def test_a_state_tells_its_node_groups():
    parent = (
        "urn:pulumi:prod::p::kubemind:index:GpuNodeGroup$aws:eks/nodeGroup:NodeGroup::gpu-nodes"
    )
    state = {
        parent: {
            "type": "aws:eks/nodeGroup:NodeGroup",
            "outputs": {"nodeGroupName": "gpu-nodes-1a2b3c4"},
        },
        "urn:pulumi:prod::p::pulumi:index:Stash::identity": {"type": "pulumi:index:Stash"},
    }
    assert held_node_groups(state) == {"gpu-nodes": "gpu-nodes-1a2b3c4"}
