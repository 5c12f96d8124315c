"""Fields that somebody else changed, from `managedFields` as API servers write them.

That an API server writes them so, tests/integration/test_drift.py shows.
"""

import copy
from typing import Any

from components.state.drift_report import changes, engine_manager, last_foreign

ENGINE = "pulumi-kubernetes-4f2a"


def entry(manager: str, fields: dict[str, Any], time: str = "2026-01-01T00:00:00Z") -> Any:
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields}


def item(spec: dict[str, Any], *managed: Any, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "it", "managedFields": list(managed), **metadata}, "spec": spec}


def test_a_value_that_another_manager_set_is_foreign():
    live = item(
        {"replicas": 1},
        entry(ENGINE, {"f:spec": {"f:selector": {}}}),
        entry("kubectl-scale", {"f:spec": {"f:replicas": {}}}),
    )
    wanted = item({"replicas": 2}, resourceVersion="7", generation=9)
    (change,) = changes(live, wanted)
    assert (change.path, change.managers, change.live) == ("spec.replicas", ("kubectl-scale",), 1)
    assert change.is_foreign


def test_a_change_of_the_parameters_is_not_foreign():
    live = item({"replicas": 2}, entry(ENGINE, {"f:spec": {"f:replicas": {}}}))
    (change,) = changes(live, item({"replicas": 3}))
    assert change.managers == (ENGINE,)
    assert not change.is_foreign


def test_a_field_that_is_stated_for_the_first_time_is_not_foreign():
    live = item(
        {}, entry(ENGINE, {"f:spec": {"f:replicas": {}}}), entry("kubectl", {"f:status": {}})
    )
    (change,) = changes(live, item({"revisionHistoryLimit": 5}))
    assert change.managers == ()
    assert not change.is_foreign


def test_a_list_that_is_managed_as_a_whole_is_one_field():
    ours = [{"from": [{"podSelector": {}}]}]
    live = item(
        {"ingress": [*ours, {}]},
        entry(ENGINE, {"f:spec": {"f:podSelector": {}}}),
        entry("kubectl-edit", {"f:spec": {"f:ingress": {}}}),
    )
    (change,) = changes(live, item({"ingress": ours}))
    assert (change.path, change.managers) == ("spec.ingress", ("kubectl-edit",))


def test_an_item_of_a_list_is_named_by_its_keys():
    name = 'k:{"name":"envoy"}'
    port = 'k:{"containerPort":8080,"protocol":"TCP"}'
    container = {
        "name": "envoy",
        "image": "ours",
        "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "grpc"}],
    }
    changed = copy.deepcopy(container)
    changed["image"], changed["ports"][0]["name"] = "theirs", "other"
    fields = {
        "f:spec": {"f:containers": {name: {"f:image": {}, "f:ports": {port: {"f:name": {}}}}}}
    }
    live = item({"containers": [{"name": "sidecar"}, changed]}, entry("kubectl-patch", fields))
    wanted = item({"containers": [{"name": "sidecar"}, container]})
    assert [(change.path, change.live) for change in changes(live, wanted)] == [
        ("spec.containers[name=envoy].image", "theirs"),
        ("spec.containers[name=envoy].ports[containerPort=8080,protocol=TCP].name", "other"),
    ]


def test_fields_below_one_that_is_managed_as_a_whole_are_its_managers():
    live = item(
        {"selector": {"a": "theirs"}}, entry("kubectl-replace", {"f:spec": {"f:selector": {}}})
    )
    (change,) = changes(live, item({"selector": {"a": "ours"}}))
    assert (change.path, change.managers) == ("spec.selector.a", ("kubectl-replace",))


def test_what_the_api_server_writes_is_no_change():
    live = item({"a": 1}, resourceVersion="1", generation=1)
    wanted = {**item({"a": 1}, resourceVersion="2", generation=2), "status": {"ready": True}}
    assert changes(live, wanted) == []


def test_changes_of_the_engine_differ_from_others_and_the_last_other_is_named():
    live = item(
        {},
        entry("kubectl-edit", {}, "2026-01-02T00:00:00Z"),
        entry(ENGINE, {}, "2026-01-04T00:00:00Z"),
        entry("helm", {}, "2026-01-01T00:00:00Z"),
        {**entry("kube-controller-manager", {}, "2026-01-05T00:00:00Z"), "subresource": "status"},
    )
    assert engine_manager(live) == ENGINE
    assert last_foreign(live) == "kubectl-edit"
    assert last_foreign(item({})) is None
