"""Every AWS input that is declared fits the model of its API, which botocore ships.

Lengths, ranges, enumerations and patterns are read from the model itself. Not shown: that AWS
enforces them, what else it enforces, and that the provider hands the inputs on as they are.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs
from config.checks import run
from config.schema.overrides import with_overrides
from config.sections.node_groups import NodeGroup
from config.settings import Settings
from tests.unit.check_cases import EKS, GROUP
from tests.unit.whole_program import declared_by

REQUESTS = {
    "aws:eks/nodeGroup:NodeGroup": ("eks", "CreateNodegroupRequest"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (
        "eks",
        "CreatePodIdentityAssociationRequest",
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": ("ec2", "RequestLaunchTemplateData"),
    "aws:iam/role:Role": ("iam", "CreateRoleRequest"),
    "aws:iam/rolePolicy:RolePolicy": ("iam", "PutRolePolicyRequest"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("iam", "AttachRolePolicyRequest"),
    "aws:autoscaling/tag:Tag": ("autoscaling", "Tag"),
}
"""Service and shape of the request behind each type."""

RENAMED = {
    "nodeRoleArn": "nodeRole",
    "subnetIds": "subnets",
    "role": "RoleName",
    "name": "RoleName",
    "assumeRolePolicy": "AssumeRolePolicyDocument",
    "policy": "PolicyDocument",
}
"""Member of a request by the provider's name for it, if they differ by more than a capital."""

JAVA = {
    r"\p{L}\p{Z}\p{N}": r"\w \xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}
"""Python's form of the parts of Java's patterns that it reads in another way: letters, separators
and digits, and characters that are two in UTF-16."""

OTHER_FORM = {"encrypted", "deleteOnTermination"}
"""Inputs that the provider spells as text, and the API as a truth value."""


@cache
def pattern_of(java: str) -> re.Pattern[str]:
    for theirs, ours in JAVA.items():
        java = java.replace(theirs, ours)
    return re.compile(java)


@cache
def shapes(service: str) -> dict[str, Any]:
    model: Any = Loader().load_service_model(service, "service-2")
    return model["shapes"]


def violations(service: str, shape: str, value: Any, path: str) -> Iterator[str]:
    """Say where a value does not fit a shape."""
    found = shapes(service)[shape]
    kind, low, high = found["type"], found.get("min"), found.get("max")
    if kind == "structure" and path.endswith("ags"):
        return
    if kind == "structure":
        members = found["members"]
        for key, item in value.items():
            name: str = RENAMED.get(str(key), str(key))
            capital = name[:1].upper() + name[1:]
            name = next((n for n in (name, capital) if n in members), "")
            if not name:
                yield f"{path}.{key} is no member of {shape}"
            elif item is not None and key not in OTHER_FORM:
                yield from violations(service, members[name]["shape"], item, f"{path}.{key}")
    elif kind == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(service, found["member"]["shape"], item, f"{path}[{index}]")
    elif kind == "map":
        for key, item in value.items():
            yield from violations(service, found["key"]["shape"], key, f"{path}.{key} (key)")
            yield from violations(service, found["value"]["shape"], item, f"{path}.{key}")
    size = value if kind in ("integer", "long") else None if kind == "boolean" else len(value)
    if size is not None and low is not None and size < low:
        yield f"{path} = {value}: at least {low}"
    if size is not None and high is not None and size > high:
        yield f"{path} = {value}: at most {high}"
    if "pattern" in found and not pattern_of(found["pattern"]).fullmatch(str(value)):
        yield f"{path} = {value}: not as {shape} is spelled, {found['pattern']}"
    if found.get("enum") and value not in found["enum"]:
        yield f"{path} = {value}: not one of {shape}"


def of_resource(typ: str, inputs: dict[str, Any]) -> list[str]:
    service, shape = REQUESTS[typ]
    inner = inputs["tag"] if typ.endswith(":Tag") else inputs
    # The provider splits the tags of a role, and of an association, off into lists.
    stated = {k: v for k, v in inner.items() if service == "eks" or k not in ("tags", "tagsAll")}
    if shape == "RequestLaunchTemplateData":
        for one in stated.get("tagSpecifications", ()):
            assert set(one) == {"resourceType", "tags"}
        kept = {"tagSpecifications"}
        for one in stated.get("tagSpecifications", ()):
            assert one["resourceType"] in shapes("ec2")["ResourceType"]["enum"]
        stated = {k: v for k, v in stated.items() if k not in kept}
    found = list(violations(service, shape, stated, typ))
    if service == "iam":
        for key, value in (inner.get("tags") or {}).items():
            found += violations("iam", "Tag", {"Key": key, "Value": value}, f"{typ}.tags[{key}]")
    return found


def test_the_walk_finds_values_that_do_not_fit():
    eks, group = "aws:eks/nodeGroup:NodeGroup", {"clusterName": "c"}
    assert "at most 63" in of_resource(eks, {**group, "labels": {"a": "b" * 64}})[0]
    assert "at least 1" in of_resource(eks, {**group, "labels": {"a": ""}})[0]
    assert "not one of AMITypes" in of_resource(eks, {**group, "amiType": "AL1"})[0]
    assert "no member" in of_resource(eks, {"subnet": []})[0]
    assert "at least 1" in of_resource(eks, {"scalingConfig": {"maxSize": 0}})[0]
    role = {"permissionsBoundary": "arn:aws"}
    assert "at least 20" in of_resource("aws:iam/role:Role", role)[0]
    role = {"name": "a role"}
    assert "not as roleNameType is spelled" in of_resource("aws:iam/role:Role", role)[0]
    assert "not as tagKeyType" in of_resource("aws:iam/role:Role", {"tags": {"a!": ""}})[0]


@pytest.mark.parametrize("service", sorted({service for service, _ in REQUESTS.values()}))
def test_python_reads_every_pattern_of_the_models(service: str):
    for shape in shapes(service).values():
        pattern_of(shape.get("pattern", ""))


def test_characters_beyond_ascii_match_as_in_java():
    tag, text = (
        pattern_of(shapes(service)[shape]["pattern"])
        for service, shape in (("iam", "tagKeyType"), ("autoscaling", "TagKey"))
    )
    assert [bool(tag.fullmatch(one)) for one in ("é ٣", "a\tb", "€")] == [True, False, False]
    assert [bool(text.fullmatch(one)) for one in ("é\U0001f600", "\x00")] == [True, False]


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_what_a_shipped_stack_declares_fits(stack: str):
    declared = [one for one in declared_by(stack).resources if one.typ.startswith("aws:")]
    assert declared
    assert [text for one in declared for text in of_resource(one.typ, one.inputs)] == []


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)
KEY = st.builds("{}/{}".format, st.sampled_from(["example.com", "a.b"]), LABEL) | LABEL
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(KEY, LABEL | st.just(""), max_size=3),
        "tags": st.dictionaries(st.text("a/ :=é@", min_size=1, max_size=130), st.text("a -+")),
        "taint": st.fixed_dictionaries({"key": KEY, "value": LABEL | st.just("")}),
        "maxUnavailable": st.integers(0, 101),
        "diskThroughputMibps": st.integers(100, 2100),
        "diskIops": st.integers(2900, 81_000),
        "instanceTypes": st.lists(st.just("g6.12xlarge"), min_size=1, max_size=22),
        "capacityType": st.sampled_from(["ON_DEMAND", "SPOT", "CAPACITY_BLOCK"]),
        "capacityReservationId": st.just("cr-02168da1478b509e0"),
        "updateStrategy": st.sampled_from(["DEFAULT", "MINIMAL"]),
        "releaseVersion": st.just("1.34.2-20260709"),
        "permissionsBoundaryArn": st.just("arn:aws-cn:iam::123456789012:policy/a/b"),
    },
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(change=CHANGES)
def test_a_node_group_that_passes_the_checks_fits(declare, change: dict[str, Any]):
    base = with_overrides(Settings(), EKS)
    try:
        stated = with_overrides(base, {f"{GROUP}.{key}": value for key, value in change.items()})
    except ValueError:
        return
    if any(problem.severity == "refuse" for problem in run(stated)):
        return
    group = next(group for group, _ in stated.gpu_nodes.groups_at)
    assert isinstance(group, NodeGroup)
    args = GpuNodeGroupArgs(
        config=group, gpus_per_node=4, cluster_name="inference", subnet_ids=["subnet-a"]
    )
    declared = declare(lambda: GpuNodeGroup("gpu", args)).resources
    of_aws = [one for one in declared if one.typ.startswith("aws:")]
    assert [text for one in of_aws for text in of_resource(one.typ, one.inputs)] == []
    # API reference: 0-20 instance types.
    assert all(len(one.inputs.get("instanceTypes") or ()) <= 20 for one in of_aws)
