"""Names by contents, and which objects nothing refers to any more."""

from typing import Any

import pytest

from components.state.content_names import (
    abandoned,
    content_name,
    owned_by,
    owner_reference,
    referenced,
    unprotected,
)

POD_SPECS: dict[str, dict[str, Any]] = {
    "volume": {"volumes": [{"configMap": {"name": "it"}}, {"emptyDir": {}}]},
    "projected": {"volumes": [{"projected": {"sources": [{"configMap": {"name": "it"}}]}}]},
    "all variables": {"containers": [{"envFrom": [{"configMapRef": {"name": "it"}}]}]},
    "a variable": {
        "initContainers": [
            {"env": [{"name": "a", "valueFrom": {"configMapKeyRef": {"name": "it", "key": "k"}}}]}
        ]
    },
}


def config_map(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "immutable": True, **fields}


def test_equal_contents_have_one_name_and_others_another():
    assert content_name("a", {"x": "1"}) == content_name("a", {"x": "1"})
    assert content_name("a", {"x": "1"}) != content_name("a", {"x": "2"})
    assert content_name("a", {}).startswith("a-")


@pytest.mark.parametrize("spec", POD_SPECS.values(), ids=POD_SPECS)
def test_every_way_to_refer_to_a_config_map_is_seen(spec: dict[str, Any]):
    assert referenced([{"kind": "Pod", "spec": spec}]) == {"it"}
    template = {"spec": {"template": {"spec": spec}, "replicas": 0}}
    assert referenced([template]) == {"it"}


def test_an_empty_pod_refers_to_nothing():
    assert referenced([{"spec": {}}, {}, {"spec": {"template": {}}}]) == set()


def test_only_what_cannot_change_and_nothing_refers_to_is_abandoned():
    found = [config_map("kept"), config_map("old"), config_map("fixed", immutable=False)]
    assert [item["metadata"]["name"] for item in abandoned(found, {"kept"})] == ["old"]


def test_a_recreated_owner_is_another_owner():
    deployment = {"metadata": {"name": "d", "uid": "1"}}
    mine = config_map("it")
    mine["metadata"]["ownerReferences"] = [owner_reference(deployment)]
    assert owned_by(mine, deployment)
    assert not owned_by(mine, {"metadata": {"name": "d", "uid": "2"}})
    assert not owned_by(config_map("other"), deployment)


def of_state(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "kubernetes:core/v1:ConfigMap", "id": f"ai/{name}", **fields}


@pytest.mark.parametrize(
    ("resources", "at_risk"),
    [
        ([of_state("a")], []),
        ([of_state("b")], ["b"]),
        ([of_state("b", retainOnDelete=True)], []),
        ([of_state("a", delete=True), of_state("b")], ["a", "b"]),
        ([of_state("a", delete=True, retainOnDelete=True)], []),
        ([{**of_state("b"), "id": "elsewhere/b"}], []),
    ],
    ids=["wanted", "abandoned", "kept", "failed rollout", "both kept", "another namespace"],
)
def test_what_the_engine_would_delete_is_read_from_the_state(
    resources: list[dict[str, Any]], at_risk: list[str]
):
    assert unprotected(resources, "ai", {"a", "b"}, wanted="a") == at_risk
