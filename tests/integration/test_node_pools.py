"""Karpenter's objects on a real API server, which evaluates the CEL rules of Karpenter's CRDs.

No Karpenter runs: what its controller would say of an AMI, a role or a subnet is not shown.
"""

import copy

import pytest
import yaml

from components.gpus.node_pool_specs import node_class_spec, node_pool_spec
from config.base import PROJECT_FOLDER
from config.load import read_stack_file
from config.sections.karpenter import Karpenter
from local_cluster import toolchain
from tests.envoy.harness.waiting import wait_until

CRDS = ("nodepool-crd", "ec2nodeclass-crd")
EXAMPLE = "examples/karpenter/Pulumi.karpenter.yaml"
RESERVATION = "cr-02168da1478b509e0"
KARPENTER = {"gpuNodes": {"kind": "karpenter", "role": "NodeRole", "discovery": "inference"}}
VARIANTS = {
    "defaults": {},
    "retiring": {"retiring": True},
    "ids": {"subnetIds": ["subnet-1"], "amiIds": ["ami-0123456789abcdef0"]},
    "a Capacity Block": {"capacityType": "CAPACITY_BLOCK", "capacityReservationId": RESERVATION},
    "all else": {
        "labels": {"team": "vision"},
        "taint": {"value": ""},
        "amiType": "BOTTLEROCKET_ARM_64_NVIDIA",
        "amiVersion": "v1.47.0",
        "capacityType": "SPOT",
        "zones": ["eu-central-1a"],
        "weight": 100,
        "instanceStorePolicy": "RAID0",
        "expireAfterHours": 720,
        "terminationGraceSeconds": 3600,
        "consolidateAfterSeconds": 0,
        "consolidationPolicy": "Balanced",
        "tags": {"team": "vision"},
        "disruptionBudgets": [
            {"nodes": 0, "schedule": "@daily", "durationMinutes": 90, "reasons": ["Drifted"]}
        ],
    },
}


@pytest.fixture
def submit(api, put):
    """Let the API server check an object that it then forgets."""
    for tool in CRDS:
        (crd,) = yaml.safe_load_all(toolchain.ensure(tool)[tool].read_text())
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            crd,
            "apiextensions.k8s.io/v1",
        )
        wait_until("it is served", lambda g=group, p=plural: api.serves(f"{g}/v1", p), 60)

    def dry_run(kind, plural, name, spec):
        version = f"{'karpenter.sh' if kind == 'NodePool' else 'karpenter.k8s.aws'}/v1"
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        path = f"/apis/{version}/{plural}?dryRun=All&fieldValidation=Strict"
        return api.send("POST", path, body)

    return dry_run


def every_pool():
    """Name, section and pool of all that is tried."""
    sections = {
        "example": Karpenter.model_validate(read_stack_file(PROJECT_FOLDER / EXAMPLE)["gpuNodes"])
    }
    for name, stated in VARIANTS.items():
        sections[name] = Karpenter.model_validate({**KARPENTER["gpuNodes"], "nodePools": [stated]})
    return [(name, nodes, pool) for name, nodes in sections.items() for pool in nodes.node_pools]


def test_the_api_server_takes_every_object_and_evaluates_karpenters_rules(submit):
    for name, nodes, pool in every_pool():
        made = {
            ("NodePool", "nodepools"): node_pool_spec(pool, 660),
            ("EC2NodeClass", "ec2nodeclasses"): node_class_spec(
                nodes, pool, "inference", {**pool.tags, "stack": "prod"}
            ),
        }
        for (kind, plural), spec in made.items():
            answer = submit(kind, plural, pool.name, spec)
            assert answer.ok, f"{name}: {answer.text}"

    # What only a rule in CEL forbids is refused, so that the rules were asked above.
    nodes, pool = every_pool()[0][1:]
    spec = copy.deepcopy(node_pool_spec(pool, 660))
    spec["template"]["metadata"]["labels"]["karpenter.sh/mine"] = "x"
    answer = submit("NodePool", "nodepools", "gpu", spec)
    assert 'label domain \\"karpenter.sh\\" is restricted' in answer.text
    spec = copy.deepcopy(node_pool_spec(pool, 660))
    spec["disruption"]["budgets"][0]["schedule"] = "@daily"
    answer = submit("NodePool", "nodepools", "gpu", spec)
    assert "'schedule' must be set with 'duration'" in answer.text
    spec = node_class_spec(nodes, pool, "inference", {"karpenter.sh/nodepool": "x"})
    answer = submit("EC2NodeClass", "ec2nodeclasses", "gpu", spec)
    assert "restricted tag matching karpenter.sh/nodepool" in answer.text


def test_preflight_finds_karpenter_by_what_the_api_server_serves(submit, document, found):
    assert submit
    assert found(document, **KARPENTER) == []


def test_preflight_refuses_a_cluster_without_karpenter(document, found):
    (message,) = found(document, **KARPENTER)
    assert "does not serve nodepools of karpenter.sh/v1 and ec2nodeclasses of" in message
