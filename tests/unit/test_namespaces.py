"""Declared namespaces; not shown: an API server enforces pod security."""

from typing import Any

import pytest

from components.common.labels import namespace_labels
from components.network.namespaces import Namespaces, NamespacesArgs
from config.inventory import made_namespaces, parts
from config.settings import Settings


@pytest.fixture
def made(declare):
    """Declare the namespaces of raw settings; the labels of each by name, and all that is made."""

    def of(raw: dict[str, Any] | None = None):
        args = NamespacesArgs(parts=parts(Settings.model_validate(raw or {})))
        declared = declare(lambda: Namespaces("namespaces", args))
        metadata = [r.inputs["metadata"] for r in declared.all("core/v1:Namespace")]
        return {m["name"]: m["labels"] for m in metadata}, declared

    return of


def test_default_stack_makes_three_and_leaves_an_existing_keda_alone(made):
    namespaces, _ = made()
    assert set(namespaces) == {"ai-namespace", "observability", "nvidia-device-plugin"}


def test_stacks_that_share_a_namespace_make_it_once(made):
    stacks = [{"namePrefix": "a-"}, {"namePrefix": "b-"}, {"namePrefix": "c-", "namespace": "c"}]
    namespaces, _ = made({"inference": stacks})
    assert set(namespaces) == {"ai-namespace", "c", "observability", "nvidia-device-plugin"}


def test_every_namespace_outlives_the_stack_for_what_others_keep_in_it(made):
    _, declared = made({"keda": {"kind": "helm"}})
    assert all(r.retain_on_delete for r in declared.all("core/v1:Namespace"))


@pytest.mark.parametrize(
    ("raw", "name", "there"),
    [
        ({"keda": {"kind": "helm"}}, "keda", True),
        ({"keda": {"kind": "existing"}}, "keda", False),
        (
            {
                "prometheus": {
                    "kind": "existing",
                    "address": "http://p.m:9090",
                    "namespace": "observability",
                }
            },
            "observability",
            False,
        ),
        ({"devicePlugin": {"enabled": False}}, "nvidia-device-plugin", False),
        (
            {"gpuNodes": {"kind": "existing", "amiType": "BOTTLEROCKET_x86_64_NVIDIA"}},
            "nvidia-device-plugin",
            False,
        ),
    ],
)
def test_a_namespace_is_made_exactly_where_the_stack_fills_it(made, raw, name, there):
    assert (name in made(raw)[0]) is there


@pytest.mark.parametrize("kind", ["helm", "existing"])
def test_preflight_looks_for_exactly_those_that_are_made(made, kind):
    raw = {"keda": {"kind": kind}, "inference": [{"namePrefix": "a-", "namespace": "a"}]}
    assert set(made_namespaces(Settings.model_validate(raw)).values()) == set(made(raw)[0])


def test_gateways_behind_a_load_balancer_get_readiness_gates_and_others_do_not(made):
    """Not shown: the webhook of the AWS Load Balancer Controller, which reads the label."""
    exposure = {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8"],
        "subnetCidrs": ["10.0.0.0/24"],
    }
    stacks = [
        {"namePrefix": "a-", "namespace": "a", "gateway": {"exposure": exposure}},
        {"namePrefix": "b-", "namespace": "a"},
        {"namePrefix": "c-", "namespace": "c"},
    ]
    namespaces, _ = made({"inference": stacks})
    label = "elbv2.k8s.aws/pod-readiness-gate-inject"
    assert {name for name, labels in namespaces.items() if label in labels} == {"a"}
    assert namespaces["a"][label] == "enabled"


def test_each_says_which_stack_made_it(made):
    for name, labels in made({"keda": {"kind": "helm"}})[0].items():
        assert namespace_labels("test").items() <= labels.items(), name


def test_only_the_device_plugin_may_have_privileged_pods(made):
    namespaces, _ = made({"keda": {"kind": "helm"}})
    for name, labels in namespaces.items():
        wanted = "privileged" if name == "nvidia-device-plugin" else "restricted"
        for mode in ("enforce", "audit", "warn"):
            assert labels[f"pod-security.kubernetes.io/{mode}"] == wanted, name
        assert labels["pod-security.kubernetes.io/enforce-version"] == "v1.30"


def test_every_namespace_of_our_own_pods_denies_all_traffic_in_both_directions(made):
    _, declared = made({"keda": {"kind": "helm"}})
    denied = set()
    for policy in declared.all("networking.k8s.io/v1:NetworkPolicy"):
        assert policy.inputs["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        denied.add(policy.inputs["metadata"]["namespace"])
    assert denied == {"ai-namespace", "observability", "nvidia-device-plugin"}
