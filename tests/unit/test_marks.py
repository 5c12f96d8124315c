"""Fields of the program's objects that the marks touch, and the hold on objects."""

import asyncio

import pulumi
import pytest
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.common.labels import IDENTITY_LABEL, OWNER_ANNOTATION
from components.state import ownership
from components.state.marks import Marks, ObjectName, Owner
from components.state.ownership import ADOPT_VARIABLE, Ownership, adopted, held_objects, identity_in
from tests.unit.whole_program import STACKS, declared_by, kubernetes_objects

MARKS = Marks(Owner(identity="1", description="organization/project/stack"))


def marked(declare, program):
    def run():
        pulumi.runtime.register_stack_transformation(MARKS)
        program()

    return declare(run)


def test_metadata_is_marked_and_pod_template_and_selector_are_not(declare):
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}

    def program():
        metadata = {"name": "a", "namespace": "b", "labels": {"app": "a"}}
        Deployment(
            "a",
            metadata=ObjectMetaArgs(**metadata),
            spec={"selector": {"match_labels": {"app": "a"}}, "template": template},
        )

    made = marked(declare, program).one("Deployment")
    assert made["metadata"]["labels"] == {"app": "a", IDENTITY_LABEL: "1"}
    assert made["metadata"]["annotations"] == {
        OWNER_ANNOTATION: "organization/project/stack",
        "pulumi.com/patchForce": "true",
    }
    assert made["spec"]["selector"] == {"matchLabels": {"app": "a"}}
    assert made["spec"]["template"] == template
    name = {"name": "a", "namespace": "b"}
    assert ObjectName.of("apps/v1", "Deployment", name) in MARKS.declared


def test_a_name_that_nobody_can_look_for_is_refused(declare):
    def program():
        other = Namespace("other", metadata=ObjectMetaArgs(name="other"))
        inside = ObjectMetaArgs(name="a", namespace=other.metadata.name)
        ConfigMap("a", metadata=inside)

    with pytest.raises(TypeError, match="a: name and namespace must be plain values"):
        marked(declare, program)


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_of_the_program_is_taken_back_by_force(stack):
    objects = kubernetes_objects(declared_by(stack))
    assert objects
    for resource in objects:
        annotations = resource.inputs["metadata"]["annotations"]
        assert annotations["pulumi.com/patchForce"] == "true", resource.name


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_what_is_made_elsewhere_waits_for_the_cluster(stack):
    elsewhere = [r for r in declared_by(stack).resources if r.typ.startswith("aws:")]
    assert elsewhere
    assert all("cluster" in r.depends_on for r in elsewhere)


@pytest.mark.parametrize("complete", [True, False])
def test_a_program_that_did_not_declare_everything_makes_no_claim(declare, monkeypatch, complete):
    async def no_state(**_how):
        await asyncio.sleep(0)
        return {}

    monkeypatch.setattr(ownership, "_state", no_state)
    claims = []

    def program():
        own = Ownership(applied=True)
        own.claim().apply(claims.append)
        if complete:
            own.complete()

    if complete:
        declare(program)
        assert [claim.stack for claim in claims] == ["test"]
    else:
        with pytest.raises(pulumi.RunError, match="did not declare everything"):
            declare(program)
        assert claims == []


def test_a_state_tells_its_identity_and_its_objects():
    stash = {"type": "pulumi:index:Stash", "outputs": {"output": {"identity": "1"}}}
    metadata = {"name": "a", "namespace": "b"}
    policy = {"type": "kubernetes:policy/v1:PodDisruptionBudget", "outputs": {"metadata": metadata}}
    chart = {"type": "kubernetes:helm.sh/v3:Release", "outputs": {}}
    assert identity_in([stash, policy, chart]) == "1"
    assert identity_in([policy]) == ""
    # In any version of its API.
    older = ObjectName.of("policy/v1beta1", "PodDisruptionBudget", metadata)
    assert held_objects([stash, policy, chart]) == [older]


def test_identities_to_adopt_are_named_by_the_environment():
    assert adopted({}) == frozenset()
    assert adopted({ADOPT_VARIABLE: "1, unmarked,"}) == {"1", "unmarked"}
