"""Karpenter's objects as declared, held against Karpenter's own CRDs.

No Karpenter runs here: the figures of its limits and the life of an annotation are of its source.
CEL rules are evaluated by an API server (`tests/integration/test_node_pools.py`).
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.cluster.component import needed_outputs
from components.cluster.permissions import required
from components.cluster.preflight.node_agents import node_agents
from components.gpus.node_pool_specs import node_class_spec, node_pool_spec
from config.base import PROJECT_FOLDER
from config.checks import run as run_checks
from config.load import parse, read_stack_file
from config.part import ApiResource
from config.schema.overrides import with_overrides
from config.sections.karpenter import DO_NOT_DISRUPT, Karpenter, KarpenterPool
from config.settings import Settings
from ops.validate.schema import Finding, check_schemas
from tests.extremes import NUMBERS, Number
from tests.unit.karpenter_cases import KARPENTER, RESERVATION, SPOT
from tests.unit.preflight_api import Api
from tests.unit.whole_program import config_of, run

NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
EXAMPLE = {
    **config_of("prod"),
    **read_stack_file(PROJECT_FOLDER / "examples/karpenter/Pulumi.karpenter.yaml"),
}
NUMBERS_HERE = [number for number in NUMBERS if number.kind == "karpenter"]


def settings(**changes: Any) -> Settings:
    return with_overrides(Settings(), {**KARPENTER, **changes})


def pool_of(**stated: Any) -> KarpenterPool:
    return KarpenterPool.model_validate(stated)


def objects(nodes: Karpenter) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for pool in nodes.node_pools:
        metadata = {"name": pool.name}
        spec = node_class_spec(nodes, pool, "inference", {**pool.tags, "stack": "prod"})
        made += [
            {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": metadata,
             "spec": node_pool_spec(pool, 890)},
            {"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": metadata,
             "spec": spec},
        ]  # fmt: skip
    return made


def refused(nodes: Karpenter) -> list[Finding]:
    return check_schemas(objects(nodes))


@pytest.fixture(scope="module")
def example():
    return run(EXAMPLE, "prod")


def test_no_check_has_more_to_say_of_the_example_than_of_prod():
    assert {problem.check for problem in run_checks(parse(EXAMPLE))} <= {
        problem.check for problem in run_checks(parse(config_of("prod")))
    }


def test_each_pool_is_one_node_pool_with_a_node_class_of_its_own(example):
    pools, classes = example.all(NODE_POOL), example.all(NODE_CLASS)
    names = {"gpu-reserved", "gpu-on-demand"}
    assert {one.inputs["metadata"]["name"] for one in classes} == names
    referred = {
        one.inputs["metadata"]["name"]: one.inputs["spec"]["template"]["spec"]["nodeClassRef"]
        for one in pools
    }
    assert {name: reference["name"] for name, reference in referred.items()} == {
        name: name for name in names
    }
    assert all(one.protect for one in (*pools, *classes))


def test_nothing_of_aws_is_declared_for_the_nodes():
    irsa = {"identity": "irsa", "roleArn": "arn:aws:iam::123456789012:role/models"}
    (stack,) = EXAMPLE["inference"]
    triton = {**stack["triton"]}
    triton["modelRepository"] = {**triton["modelRepository"], **irsa}
    declared = run({**EXAMPLE, "inference": [{**stack, "triton": triton}]}, "prod")
    assert [one.typ for one in declared.resources if one.typ.startswith("aws:")] == []


def test_karpenters_crds_know_every_field_of_the_example(example):
    made = [one.inputs for one in (*example.all(NODE_POOL), *example.all(NODE_CLASS))]
    assert check_schemas(made) == []


def test_subnets_and_security_groups_are_found_by_the_clusters_tag(example):
    tag = [{"tags": {"karpenter.sh/discovery": "inference"}}]
    for one in example.all(NODE_CLASS):
        assert one.inputs["spec"]["subnetSelectorTerms"] == tag
        assert one.inputs["spec"]["securityGroupSelectorTerms"] == tag


def test_ids_take_the_place_of_the_tag_and_need_no_name_of_the_cluster():
    stated = {"securityGroupIds": ["sg-1"], "nodePools": [{"subnetIds": ["subnet-1"]}]}
    found = settings(gpuNodes={"kind": "karpenter", "role": "R", **stated})
    spec = objects(found.gpu_nodes)[1]["spec"]
    assert spec["subnetSelectorTerms"] == [{"id": "subnet-1"}]
    assert spec["securityGroupSelectorTerms"] == [{"id": "sg-1"}]
    assert "clusterName" not in needed_outputs(found)
    assert "clusterName" in needed_outputs(settings())


def test_the_limits_hold_the_stated_number_of_the_largest_type():
    """Karpenter plans with the largest type that is possible, and counts what runs."""
    pool = pool_of(instanceTypes=["g6.12xlarge", "g6.48xlarge"], maxSize=3)
    assert pool.limits == {
        "nodes": "3",
        "cpu": "576",
        "memory": "2304Gi",
        "nvidia.com/gpu": "24",
    }
    unknown = pool_of(
        instanceTypes=["g99.xlarge"], maxSize=3, capacity={"gpus": 1, "cpu": 4, "memoryGib": 16}
    )
    assert unknown.limits == {"nodes": "3"}


def test_a_retiring_pool_starts_nothing_and_its_nodes_drift():
    """The taint is a part of the template, so that Karpenter exchanges the nodes by itself."""
    spec = node_pool_spec(pool_of(retiring=True), 890)
    assert set(spec["limits"].values()) == {"0"}
    taints = spec["template"]["spec"]["taints"]
    assert [taint["key"] for taint in taints] == ["nvidia.com/gpu", "kubemind-inference/retiring"]


def test_a_retiring_pool_loses_its_protection():
    pools = [{**EXAMPLE["gpuNodes"]["nodePools"][0], "retiring": True},
             {**EXAMPLE["gpuNodes"]["nodePools"][1], "maxSize": 7}]  # fmt: skip
    declared = run({**EXAMPLE, "gpuNodes": {**EXAMPLE["gpuNodes"], "nodePools": pools}}, "prod")
    kept = {one.inputs["metadata"]["name"]: one.protect for one in declared.all(NODE_POOL)}
    assert kept == {"gpu-reserved": False, "gpu-on-demand": True}


@pytest.mark.parametrize(
    ("stated", "capacity"),
    [
        ({}, "on-demand"),
        ({"capacityType": "SPOT"}, "spot"),
        ({"capacityReservationId": RESERVATION}, "reserved"),
        ({"capacityType": "CAPACITY_BLOCK", "capacityReservationId": RESERVATION}, "reserved"),
    ],
)
def test_the_purchase_option_is_a_requirement_of_the_pool(stated, capacity):
    pool = pool_of(**stated)
    requirements = node_pool_spec(pool, 890)["template"]["spec"]["requirements"]
    found = {one["key"]: one["values"] for one in requirements}
    assert found["karpenter.sh/capacity-type"] == [capacity]
    spec = node_class_spec(Karpenter(kind="karpenter", role="R"), pool, "inference", {})
    terms = spec.get("capacityReservationSelectorTerms")
    assert terms == ([{"id": RESERVATION}] if capacity == "reserved" else None)


def annotations(found: Settings) -> dict[str, str]:
    declared = run(found.model_dump(mode="json", by_alias=True, exclude_unset=True))
    (triton,) = [
        one
        for one in declared.all(DEPLOYMENT)
        if one.inputs["metadata"]["name"] == found.inference[0].deployment_name
    ]
    return triton.inputs["spec"]["template"]["metadata"]["annotations"]


def test_karpenter_spares_a_node_while_a_replica_loads_on_it():
    """600 s for the image and 60 s for the models, as the checks count them."""
    assert annotations(settings())[DO_NOT_DISRUPT] == "660s"
    assert node_pool_spec(pool_of(), 660)["disruption"]["consolidateAfter"] == "660s"


def test_a_replica_that_aws_may_end_at_any_time_is_evicted_at_once():
    """A protected pod would not be evicted before its node ends, and its calls would be cut."""
    spot = pool_of(capacityType="SPOT", name="spot")
    nodes = Karpenter(kind="karpenter", role="R", node_pools=(pool_of(), spot))
    assert nodes.pool.replica_annotations(660) == {}
    assert settings(**SPOT).gpu_nodes.pool.replica_annotations(660) == {}
    retired = (pool_of(), pool_of(capacityType="SPOT", name="spot", retiring=True))
    nodes = Karpenter(kind="karpenter", role="R", node_pools=retired)
    assert nodes.pool.replica_annotations(660) == {DO_NOT_DISRUPT: "660s"}


def test_other_nodes_need_no_annotation_of_karpenters():
    assert Settings().gpu_nodes.pool.replica_annotations(660) == {}


def test_a_cluster_without_karpenter_is_refused_with_the_smallest_fix():
    served = [("karpenter.sh/v1", "nodepools"), ("karpenter.k8s.aws/v1", "ec2nodeclasses")]
    assert [*node_agents(settings(), Api(served=served))] == []  # pyright: ignore[reportArgumentType]
    (problem,) = node_agents(settings(), Api(served=served[:1]))  # pyright: ignore[reportArgumentType]
    assert problem.severity == "refuse"
    assert problem.keys == {"gpuNodes.kind": "karpenter"}
    assert "ec2nodeclasses of karpenter.k8s.aws/v1" in problem.reason
    assert "nodepools" not in problem.reason
    assert "helm install karpenter" in problem.fix


def test_the_users_rights_on_karpenters_objects_are_asked_for():
    needed = required(settings())
    for resource in (
        ApiResource("karpenter.sh", "nodepools"),
        ApiResource("karpenter.k8s.aws", "ec2nodeclasses"),
    ):
        assert {"create", "patch", "delete"} <= {*needed[resource]}
        assert resource not in required(Settings())


@pytest.mark.parametrize("number", NUMBERS_HERE, ids=str)
def test_karpenters_crds_take_every_number_at_both_of_its_bounds(number: Number):
    for value in (number.low, number.high):
        nodes = with_overrides(Settings(), number.change(value)).gpu_nodes
        assert isinstance(nodes, Karpenter)
        assert refused(nodes) == []


LABELS = st.dictionaries(
    st.from_regex(r"\A[a-z]{1,9}(\.[a-z]{1,9})?/[a-zA-Z][a-z.-]{0,9}[a-z]\Z"),
    st.from_regex(r"\A([a-z]{1,9})?\Z"),
    max_size=3,
)
BUDGETS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"nodes": st.integers(0, 5000)}),
        st.fixed_dictionaries(
            {
                "nodes": st.integers(0, 5000),
                "schedule": st.sampled_from(["@daily", "0 8 * * mon-fri"]),
                "durationMinutes": st.integers(1, 2000),
                "reasons": st.lists(st.sampled_from(["Drifted", "Empty"]), unique=True),
            }
        ),
    ),
    min_size=1,
    max_size=3,
)
POOLS = st.fixed_dictionaries(
    {"amiType": st.sampled_from(["AL2023_x86_64_NVIDIA", "BOTTLEROCKET_ARM_64_NVIDIA"])},
    optional={
        "labels": LABELS,
        "taint": st.fixed_dictionaries(
            {"key": st.just("gpu"), "value": st.sampled_from(["", "x"])}
        ),
        "retiring": st.booleans(),
        "amiVersion": st.sampled_from(["latest", "v1.47.0", "v20260709"]),
        "amiIds": st.just(["ami-0123456789abcdef0"]),
        "zones": st.just(["eu-central-1a"]),
        "capacityReservationId": st.just(RESERVATION),
        "kmsKeyArn": st.just("arn:aws:kms:eu-central-1:123456789012:key/0-1"),
        "instanceStorePolicy": st.just("RAID0"),
        "consolidationPolicy": st.sampled_from(["WhenEmpty", "Balanced"]),
        "consolidateAfterSeconds": st.integers(0, 86_400),
        "expireAfterHours": st.integers(1, 8760),
        "terminationGraceSeconds": st.integers(1, 604_800),
        "disruptionBudgets": BUDGETS,
        "tags": st.dictionaries(st.text("a/ :=@", min_size=1), st.text("a -+"), max_size=3),
    },
)


@given(POOLS)
def test_karpenters_crds_take_what_the_parameters_can_state(stated):
    nodes = Karpenter.model_validate({"kind": "karpenter", "role": "R", "nodePools": [stated]})
    assert refused(nodes) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "limits", "memory"), "much"),
        (("spec", "disruption", "budgets", 0, "duration"), "600s"),
        (("spec", "template", "spec", "expireAfter"), "never"),
        (("spec", "template", "spec", "taints", 0, "value"), ""),
    ],
)
def test_the_crd_refuses_what_is_wrong(path, value):
    """Otherwise the tests above would show nothing."""
    made = objects(parse(EXAMPLE).gpu_nodes)[2]
    *above, key = path
    target: Any = made
    for step in above:
        target = target[step]
    target[key] = value
    assert check_schemas([made]) != []
