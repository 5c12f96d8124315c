"""Pod templates with and without the user's options, held against Kubernetes' schemas.

Not shown: that a scheduler places the pods so, and that a cluster has the named classes and
Secrets.
"""

from typing import Any

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
from pydantic import ValidationError

from components.cluster.preflight.pods import kinds
from components.common.pods import SAFE_TO_EVICT_VOLUMES, disk_volumes, pod_template
from config.checks.pods import RESERVED_ANNOTATIONS, RESERVED_LABELS, is_reserved
from config.load import parse
from config.schema.overrides import with_overrides
from config.sections.pods import PodOptions, TritonPods
from config.settings import Settings
from ops.validate.schema import KUBERNETES_VERSION
from tests.unit.whole_program import STACKS, config_of

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NODES = {
    "matchExpressions": [
        {"key": "team", "operator": "In", "values": ["a", "b"]},
        {"key": "size", "operator": "Gt", "values": ["3"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
}
PODS = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": {"matchLabels": {"app": "x"}},
    "namespaces": ["other"],
    "matchLabelKeys": ["pod-template-hash"],
}
OPTIONS: dict[str, Any] = {
    "nodeSelector": {"team": "vision"},
    "tolerations": [
        {"key": "team", "value": "vision", "effect": "NoExecute", "tolerationSeconds": 60},
        {"key": "batch", "operator": "Exists"},
    ],
    "affinity": {
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [NODES]},
            PREFERRED: [{"weight": 1, "preference": NODES}],
        },
        "podAntiAffinity": {
            REQUIRED: [PODS],
            PREFERRED: [{"weight": 100, "podAffinityTerm": PODS}],
        },
    },
    "priorityClassName": "serving.high",
    "imagePullSecrets": ["registry.example.com"],
    "labels": {"cost-center": "42"},
    "annotations": {"Example.com/owner": "the vision team"},
}


def templates(settings: Settings) -> dict[str, dict[str, Any]]:
    return {kind.who: kind.template for kind in kinds(settings)}


def every_kind_of_pod() -> list[dict[str, Any]]:
    """Templates of the three stacks, and of each kind of repository and Prometheus."""
    found = [t for stack in STACKS for t in templates(parse(config_of(stack))).values()]
    for change in (
        {"inference[0].triton.modelRepository": {"kind": "pvc", "claim": "models"}},
        {"prometheus.persistentVolume": {"sizeGib": 1}},
        {"gpuSharing": {"kind": "timeSlicing", "slices": 2}},
    ):
        found += templates(with_overrides(Settings(), change)).values()
    return found


def test_the_autoscaler_of_nodes_may_evict_exactly_the_disk_volumes_of_each_pod():
    seen: set[str] = set()
    for template in every_kind_of_pod():
        on_disk = [
            volume["name"]
            for volume in template["spec"]["volumes"]
            if "emptyDir" in volume and "medium" not in volume["emptyDir"]
        ]
        stated = template["metadata"].get("annotations", {}).get(SAFE_TO_EVICT_VOLUMES, "")
        assert stated == ",".join(on_disk)
        seen.add(stated)
    assert seen == {"", "tmp", "tmp,repository,models", "tmp,models", "data"}


def test_a_volume_in_memory_or_of_another_kind_is_no_disk_volume():
    volumes = [
        {"name": "a", "emptyDir": {"medium": "Memory"}},
        {"name": "b", "emptyDir": {"medium": ""}},
        {"name": "c", "emptyDir": {}},
        {"name": "d", "hostPath": {"path": "/"}},
    ]
    assert disk_volumes({"volumes": volumes}) == ["b", "c"]


def test_every_label_and_annotation_that_the_stack_sets_is_reserved():
    for template in every_kind_of_pod():
        metadata = template["metadata"]
        for key in metadata["labels"]:
            assert is_reserved(key, RESERVED_LABELS), key
        for key in metadata.get("annotations", {}):
            assert is_reserved(key, RESERVED_ANNOTATIONS), key


@pytest.mark.parametrize("section", ["inference[0].triton", "inference[0].gateway", "prometheus"])
def test_every_option_reaches_the_pods_in_a_form_that_kubernetes_knows(section: str):
    who = {"gateway": "the gateway's", "prometheus": "Prometheus'"}
    runtime = {"runtimeClassName": "nvidia"} if section.endswith("triton") else {}
    settings = with_overrides(Settings(), {f"{section}.pods": {**OPTIONS, **runtime}})
    template = templates(settings)[who.get(section.rpartition(".")[2], "Triton's")]
    kubernetes_validate.validate(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "x"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        },
        KUBERNETES_VERSION,
        strict=True,
    )
    pod, metadata = template["spec"], template["metadata"]
    assert pod["nodeSelector"].items() >= {"team": "vision", "kubernetes.io/os": "linux"}.items()
    assert pod["tolerations"][-2:] == [
        {**OPTIONS["tolerations"][0], "operator": "Equal"},
        OPTIONS["tolerations"][1],
    ]
    assert pod["affinity"] == OPTIONS["affinity"]
    assert pod["priorityClassName"] == "serving.high"
    assert pod["imagePullSecrets"] == [{"name": "registry.example.com"}]
    assert pod.get("runtimeClassName") == runtime.get("runtimeClassName")
    assert metadata["labels"].items() >= OPTIONS["labels"].items()
    assert metadata["annotations"].items() >= OPTIONS["annotations"].items()


def test_the_stacks_own_settings_take_precedence():
    options = PodOptions.model_validate(
        {
            "nodeSelector": {"a": "theirs"},
            "labels": {"b": "theirs"},
            "annotations": {"c": "theirs", SAFE_TO_EVICT_VOLUMES: "theirs"},
            "priorityClassName": "theirs",
        }
    )
    spec = {
        "nodeSelector": {"a": "ours"},
        "priorityClassName": "ours",
        "tolerations": [{"key": "ours"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    template = pod_template({"b": "ours"}, spec, annotations={"c": "ours"}, options=options)
    assert template == {
        "metadata": {
            "labels": {"b": "ours"},
            "annotations": {"c": "ours", SAFE_TO_EVICT_VOLUMES: "data"},
        },
        "spec": spec,
    }


def test_scratch_space_is_the_limit_and_part_of_the_request():
    def of(settings: Settings) -> tuple[str, int]:
        pod = templates(settings)["Triton's"]["spec"]
        (tmp,) = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "tmp"]
        requested = pod["containers"][0]["resources"]["requests"]["ephemeral-storage"]
        return tmp, int(requested.removesuffix("Mi"))

    tmp, requested = of(Settings())
    large, more = of(with_overrides(Settings(), {"inference[0].triton.scratchMib": 9216}))
    assert (tmp, large, more - requested) == ("1024Mi", "9216Mi", 8192)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"nodeSelector": {"a b": "c"}}, "label's key"),
        ({"labels": {"a": "c d"}}, "at most 63 letters"),
        ({"annotations": {"a/b/c": ""}}, "annotation's key"),
        ({"annotations": {f"{'a' * 254}/b": ""}}, "annotation's key"),
        ({"priorityClassName": "High"}, "at most 253"),
        ({"runtimeClassName": "a_b"}, "at most 253"),
        ({"imagePullSecrets": ["a/b"]}, "at most 253"),
        ({"imagePullSecrets": ["a", "a"]}, "twice"),
        ({"tolerations": [{"value": "a"}]}, "operator must be Exists"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "has no value"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, "NoExecute"),
        ({"affinity": {"nodeAffinty": {}}}, "nodeAffinty: Extra inputs"),
        ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}}, "at least 1 item"),
        ({"affinity": {"podAffinity": {REQUIRED: [{}]}}}, "topologyKey: Field required"),
        (
            {"affinity": {"podAffinity": {PREFERRED: [{"weight": 0, "podAffinityTerm": PODS}]}}},
            "greater than or equal to 1",
        ),
        (
            {"affinity": {"podAffinity": {REQUIRED: [{**PODS, "labelSelector": None}]}}},
            "need a labelSelector",
        ),
    ],
)
def test_an_option_that_the_api_server_would_refuse_is_refused(wrong: dict[str, Any], says: str):
    with pytest.raises(ValidationError, match=says):
        TritonPods.model_validate(wrong)


@pytest.mark.parametrize(
    ("operator", "values"), [("In", []), ("Exists", ["a"]), ("Lt", ["1", "2"])]
)
def test_an_expression_needs_the_values_of_its_operator(operator: str, values: list[str]):
    rule = {"key": "a", "operator": operator, "values": values}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    with pytest.raises(ValidationError, match=f"operator {operator}"):
        PodOptions.model_validate({"affinity": {"nodeAffinity": {REQUIRED: terms}}})
