"""The recorder tells the truth: what it hands back is what the engine would have seen."""

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from tests import recording


class Outer(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("t:index:Outer", name, None, opts)
        Inner(f"{name}-inner", pulumi.ResourceOptions(parent=self))
        self.register_outputs({"told": "outer"})


class Inner(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("t:index:Inner", name, None, opts)
        self.map = kubernetes.core.v1.ConfigMap(
            f"{name}-map",
            metadata={"name": "physical"},
            data={"a": "1"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def test_identities_have_the_types_of_all_parents(declare):
    assert declare(lambda: Outer("o")).identities == [
        "t:index:Outer$t:index:Inner$kubernetes:core/v1:ConfigMap::o-inner-map",
        "t:index:Outer$t:index:Inner::o-inner",
        "t:index:Outer::o",
    ]


def test_a_resource_is_found_by_logical_and_by_kubernetes_name(declare):
    seen = declare(lambda: Outer("o"))
    assert seen.one("ConfigMap", "o-inner-map") == seen.one("ConfigMap", "physical")
    with pytest.raises(AssertionError, match="0 resources"):
        seen.one("ConfigMap", "other")


def test_options_are_inherited_as_the_sdk_does(declare):
    def program():
        provider = kubernetes.Provider("p", kubeconfig="x")
        Outer("o", pulumi.ResourceOptions(protect=True, providers=[provider]))

    config_map = declare(program).resource("ConfigMap")
    assert config_map.protect
    assert config_map.provider == "p"


def test_secrets_are_plain_and_named(declare):
    def program():
        kubernetes.core.v1.ConfigMap("m", data={"a": pulumi.Output.secret("s")})
        pulumi.export("shown", 1)
        pulumi.export("hidden", pulumi.Output.secret(2))

    seen = declare(program)
    assert seen.one("ConfigMap")["data"] == {"a": "s"}
    assert seen.resource("ConfigMap").secrets == {"data"}
    assert seen.exports == {"shown": 1, "hidden": 2}
    assert seen.secret_exports == {"hidden"}


def test_computed_outputs_are_known_after_up_and_not_in_a_preview(declare):
    def program():
        role = pulumi.CustomResource("aws:iam/role:Role", "r", {"arn": None})
        role.arn.apply(known.append)

    known = []
    declare(program)
    assert known == ["arn:aws:iam::123456789012:role/mock"]
    known.clear()
    declare(program, preview=True)
    assert known == []


def test_components_outputs_and_logs_are_kept(declare):
    def program():
        Outer("o")
        pulumi.log.warn("careful")

    seen = declare(program)
    assert seen.outputs["o"] == {"told": "outer"}
    assert seen.logs == [("warning", "careful")]


def test_configuration_is_that_of_the_call(declare):
    def program():
        pulumi.export("list", pulumi.Config().require_object("list"))
        pulumi.export("text", pulumi.Config().require("text"))

    assert declare(program, config={"list": [1, {"a": 2}], "text": "x"}).exports == {
        "list": [1, {"a": 2}],
        "text": "x",
    }


def test_a_look_up_fails_the_program(declare):
    with pytest.raises(Exception, match="nothing may be looked up: aws:index/getRegion:getRegion"):
        declare(lambda: pulumi.runtime.invoke("aws:index/getRegion:getRegion", {}).value)


def test_reading_a_resource_fails_the_program(declare):
    with pytest.raises(AssertionError, match="looked up: kubernetes:core/v1:ConfigMap"):
        declare(lambda: kubernetes.core.v1.ConfigMap.get("m", "default/m"))


def test_a_failing_apply_fails_the_program(declare):
    def program():
        pulumi.Output.from_input(1).apply(lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        declare(program)


def test_two_resources_of_one_identity_fail_the_program(declare):
    def program():
        kubernetes.core.v1.ConfigMap("m", data={})
        kubernetes.core.v1.ConfigMap("m", data={})

    with pytest.raises(AssertionError, match="declared twice"):
        declare(program)


def test_one_run_leaves_nothing_to_the_next(declare):
    assert len(declare(lambda: Outer("o")).resources) == 3
    assert declare(lambda: pulumi.export("x", 1)).resources == []
    assert declare(lambda: None).exports == {}


def test_the_fixture_is_the_function(declare):
    assert declare is recording.declare
