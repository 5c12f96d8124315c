"""The whole program's GPUs under mocks: shares of them, and the evictions from their nodes."""

from copy import deepcopy

from tests.unit.whole_program import STACKS, config_of, declared_by, run


def test_replicas_request_mig_devices_and_empty_node_groups_announce_them():
    raw = deepcopy(config_of("prod"))
    raw["gpuNodes"]["groups"][0] |= {"instanceTypes": ["p5.48xlarge"], "diskGib": 4000}
    del raw["gpuNodes"]["groups"][0]["amiType"]
    raw["gpuSharing"] = {"kind": "mig", "profile": "1g.10gb", "devices": 7}
    raw["inference"][0]["triton"] |= {"disruptionBudget": 3, "loadSeconds": 1}
    raw["inference"][0]["triton"]["modelRepository"]["cacheGib"] = 1
    program = run(raw)
    triton = program.one("kubernetes:apps/v1:Deployment", "triton-inference-deployment")
    (container,) = triton["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    tags = {tag.inputs["tag"]["key"]: tag.inputs["tag"]["value"]
            for tag in program.all("aws:autoscaling/tag:Tag")}  # fmt: skip
    key = "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/mig-1g.10gb"
    assert tags[key] == "56"


def test_all_replicas_of_a_spot_node_may_leave_at_once():
    """Staging has four GPUs on a spot node; prod states what EKS's node updates need."""
    evictable = {
        stack: declared_by(stack).one(
            "policy/v1:PodDisruptionBudget", "triton-inference-deployment"
        )["spec"]["maxUnavailable"]
        for stack in STACKS
    }
    assert evictable == {"dev": 1, "staging": 4, "prod": 2}
