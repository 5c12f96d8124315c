"""Comments about GPUs and calls, from previews that the real CLI and provider wrote.

There is no AWS provider to record with, so the node group's steps are built here in the recorded
form.
"""

from typing import Any

from components.gpus.node_count import GroupResources, RunningGroup, ended_nodes, replaced_nodes
from config.sections.node_groups import NodeGroup
from ops.pr.markdown import comment
from ops.pr.report import read_previews
from ops.stack.environment import PROJECT

FIXTURES = PROJECT / "tests" / "fixtures" / "previews"


def recorded(name: str) -> dict[str, Any]:
    return read_previews([FIXTURES / f"{name}.json"])["dev"]


def bullets(preview: dict[str, Any]) -> list[str]:
    head = comment({"dev": preview}).partition("<details>")[0]
    return [line for line in head.splitlines() if line.startswith("- ")]


def test_a_changed_triton_pod_means_that_models_are_loaded_again():
    fleet, gateway = [line for line in bullets(recorded("change")) if "`ai-namespace/" in line]
    assert fleet == (
        "- Triton fleet `ai-namespace/triton-inference-deployment`: "
        "every replica is replaced and loads its models."
    )
    assert gateway == (
        "- Gateway `ai-namespace/envoy-gateway`: its pods are rolled; "
        "their connections are drained."
    )


def test_a_replaced_fleet_is_the_gravest_and_says_that_nothing_answers():
    (_, fleet) = bullets(recorded("replace"))
    assert fleet == (
        "- OUTAGE. Triton fleet `ai-namespace/triton-inference-deployment`: "
        "every replica stops before a new one starts; no call is answered."
    )


def test_more_replicas_are_more_gpus_also_where_the_deployment_does_not_change():
    """Two GPUs a replica, 20 replicas before and 24 after."""
    assert bullets(recorded("scale")) == ["- GPUs that the scaler may ask for: 40 → 48."]


def node_group(operation: str, **changes: tuple[Any, Any]) -> dict[str, Any]:
    """A preview with a node group whose properties change: path to (old, new)."""
    states: list[dict[str, Any]] = [{}, {}]
    for path, values in changes.items():
        section, _, key = path.partition("_")
        for state, value in zip(states, values, strict=True):
            state[section] = {key: value} if key else value
    step = {
        "op": operation,
        "urn": "urn:pulumi:prod::p::kubemind:index:GpuNodeGroup$aws:eks/nodeGroup:NodeGroup::gpu",
        "oldState": {"inputs": states[0]},
        "newState": {"inputs": states[1]},
        "detailedDiff": {
            path.replace("_", "."): {"kind": "update", "inputDiff": True} for path in changes
        },
    }
    return {"steps": [step], "changeSummary": {operation: 1}}


def test_a_replaced_node_group_ends_every_node_of_the_old_one():
    replaced = node_group("replace", amiType=("AL2023_x86_64_NVIDIA", "BOTTLEROCKET"))
    (said,) = [line for line in bullets(replaced) if "GPU node group" in line]
    assert "is replaced: once a new group runs, every node of the old one ends." in said


def node_pool(operation: str, path: str) -> dict[str, Any]:
    """A preview with one NodePool, in which one field changes."""
    inputs = {"metadata": {"name": "gpu"}, "spec": {}}
    parent = "kubemind:index:GpuNodePool$kubernetes:karpenter.sh/v1:NodePool"
    step = {
        "op": operation,
        "urn": f"urn:pulumi:prod::p::{parent}::gpu-node-pool",
        "oldState": {"inputs": inputs},
        "newState": {} if operation == "delete" else {"inputs": inputs},
        "detailedDiff": {path: {"kind": "update", "inputDiff": True}},
    }
    return {"steps": [step], "changeSummary": {operation: 1}}


def test_a_deleted_node_pool_ends_all_of_its_nodes_at_once():
    said = "- NodePool `gpu`: Karpenter drains and ends all of its nodes at once."
    assert said in bullets(node_pool("delete", "spec"))


def test_nodes_of_a_node_pool_are_exchanged_by_a_change_of_their_template_alone():
    said = "- NodePool `gpu`: nodes that no longer match are exchanged; their pods drain first."
    assert said in bullets(node_pool("update", "spec.template.spec.expireAfter"))
    for guide in ("spec.limits.cpu", "spec.weight", "spec.disruption.budgets[0].nodes"):
        assert said not in bullets(node_pool("update", guide))


def test_a_comment_begins_with_the_outage_of_a_replaced_node_group():
    fixed = {"amiType": "AL2023_x86_64_NVIDIA"}
    running = RunningGroup("gpu-nodes-1a2b3c4", "ACTIVE", 2, 8, 6, fixed)
    other = NodeGroup(ami_type="BOTTLEROCKET_x86_64_NVIDIA")
    resources = GroupResources(subnets=(), role_arn=None, template_id=None)
    said = replaced_nodes(other, running, "gpuNodes.groups[0]", resources)
    preview = node_group("replace", amiType=("AL2023_x86_64_NVIDIA", "BOTTLEROCKET_x86_64_NVIDIA"))
    preview["diagnostics"] = [{"severity": "warning", "message": said}]
    head = comment({"prod": preview}).splitlines()[1]
    assert head.startswith("### `prod`: OUTAGE of node group gpu-nodes-1a2b3c4: 1 replaced")
    first = bullets(preview)[1]
    assert first.startswith("- OUTAGE: gpuNodes.groups[0].amiType ")
    assert "Its 6 nodes end as soon as the new group exists" in first


def test_a_comment_names_a_node_group_that_goes_with_replicas_on_it():
    preview = node_group("delete")
    preview["diagnostics"] = [
        {
            "severity": "warning",
            "message": "outage: OUTAGE: `up` would delete the node group gpu with 3 replicas on "
            "its nodes.\n    now: gpuNodes.groups = []",
        }
    ]
    assert "`prod`: OUTAGE of node group gpu: 1 deleted" in comment({"prod": preview})
    # A drained group goes without one.
    assert "OUTAGE" not in comment({"prod": node_group("delete")})


def test_a_deleted_node_group_takes_every_gpu_node_away():
    assert "- GPU node group `gpu`: every GPU node goes away." in bullets(node_group("delete"))


def test_a_maximum_below_the_running_nodes_says_first_how_many_of_them_end():
    running = RunningGroup("gpu-nodes-1a2b3c4", "ACTIVE", 2, 8, 6)
    preview = node_group("update", scalingConfig_maxSize=(8, 4))
    said = ended_nodes(NodeGroup(min_size=2, max_size=4), running, "gpuNodes.groups[0]")
    preview["diagnostics"] = [{"severity": "warning", "message": said}]
    assert bullets(preview) == [
        "- gpuNodes.groups[0].maxSize 4 ends 2 of 6 running nodes of node group gpu-nodes-1a2b3c4: "
        "their pods move to the nodes that stay, or wait.",
        "- GPU node group `gpu`: at most 8 → 4 nodes.",
    ]


def test_another_minimum_of_nodes_is_shown():
    said = bullets(node_group("update", scalingConfig_minSize=(1, 2)))
    assert said == ["- GPU node group `gpu`: at least 1 → 2 nodes."]


def test_a_new_launch_template_exchanges_the_nodes():
    said = bullets(node_group("update", launchTemplate_version=("1", "2")))
    assert said == ["- GPU node group `gpu`: nodes are exchanged; their pods drain first."]


def test_another_maximum_of_nodes_is_shown():
    said = bullets(node_group("update", scalingConfig_maxSize=(6, 8)))
    assert said == ["- GPU node group `gpu`: at most 6 → 8 nodes."]


def test_labels_alone_have_no_impact_on_gpus():
    assert bullets(node_group("update", labels=({"a": "b"}, {}))) == []
