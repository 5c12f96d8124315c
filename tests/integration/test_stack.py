"""The dev stack on a real Pulumi engine, provider and API server.

The nodes are simulated, so nothing here proves that a container runs or that a call is answered.
The tests share one provisioned stack and leave it converged.
"""

import json
from pathlib import Path

import pytest

from config.sections.platform import LOCAL_CONTEXT
from ops.render.render import render, server_diff
from tests.integration.checkout import Checkout

TRITON = "triton-inference-deployment"
NAMESPACE = "ai-namespace"


def _spec_replicas(checkout: Checkout) -> int:
    shown = checkout.kubectl(
        "-n", NAMESPACE, "get", "deployment", TRITON, "-o", "jsonpath={.spec.replicas}"
    )
    return int(shown.ok().stdout)


def _state(checkout: Checkout) -> dict[str, dict[str, object]]:
    exported = json.loads(checkout.pulumi("stack", "export").ok().stdout)
    return {r["urn"]: r for r in exported["deployment"]["resources"]}


def test_up_provisions_every_workload_ready(provisioned: Checkout) -> None:
    shown = json.loads(
        provisioned.kubectl("get", "deployments,daemonsets", "-A", "-o", "json").ok().stdout
    )
    ready = {
        item["metadata"]["name"]: item["status"].get("readyReplicas")
        or item["status"].get("numberReady")
        for item in shown["items"]
    }
    assert {TRITON, "envoy-gateway", "prometheus-server"} <= ready.keys()
    assert all(ready.values()), ready


def test_up_leaves_git_clean(provisioned: Checkout) -> None:
    assert provisioned.git("status", "--porcelain") == ""


def test_outputs_are_the_contract(provisioned: Checkout) -> None:
    outputs = json.loads(provisioned.ops("outputs", "--json").ok().stdout)
    assert outputs["endpoint"] == f"envoy-gateway.{NAMESPACE}.svc.cluster.local:8080"
    assert outputs["contractVersion"].startswith("1.")


def test_second_up_changes_nothing(provisioned: Checkout) -> None:
    before = _state(provisioned)
    provisioned.up("--expect-no-changes").ok()
    assert _state(provisioned).keys() == before.keys()
    assert provisioned.preview_steps() == {}


@pytest.mark.parametrize(
    ("stack", "updated"),
    [
        (
            {"autoscaler": {"cooldownSeconds": 77}},
            {"kubernetes:keda.sh/v1alpha1:ScaledObject::inference-autoscaler-scaled-object"},
        ),
        (
            # An alert compares the fleet with the number of replicas that the scaler asks for, and
            # the gateway admits a multiple of the threshold.
            {"autoscaler": {"threshold": 12}},
            {
                "kubernetes:core/v1:ConfigMap::inference-gateway-config",
                "kubernetes:core/v1:ConfigMap::inference-gateway-files",
                "kubernetes:apps/v1:Deployment::inference-gateway-deployment",
                "kubernetes:keda.sh/v1alpha1:ScaledObject::inference-autoscaler-scaled-object",
                "kubernetes:core/v1:ConfigMap::prometheus-config",
                "kubernetes:core/v1:ConfigMap::prometheus-files",
                "kubernetes:apps/v1:Deployment::prometheus-deployment",
            },
        ),
        (
            {"gateway": {"outliers": {"baseEjectionSeconds": 20}}},
            {
                "kubernetes:core/v1:ConfigMap::inference-gateway-config",
                "kubernetes:core/v1:ConfigMap::inference-gateway-files",
                "kubernetes:apps/v1:Deployment::inference-gateway-deployment",
            },
        ),
        (
            {"triton": {"cpu": 1.5}},
            {"kubernetes:apps/v1:Deployment::inference-triton-deployment"},
        ),
    ],
    ids=["cooldown", "threshold", "gateway", "triton"],
)
def test_a_parameter_change_previews_exactly_its_resources(
    provisioned: Checkout, stack: dict[str, object], updated: set[str]
) -> None:
    provisioned.set_config(inference=[stack])
    steps = provisioned.preview_steps()
    # A new object stands beside the one of the old contents, which pods still mount.
    created = {name for name, op in steps.items() if op != "update"}
    assert steps.keys() == updated
    assert created == {name for name in updated if name.endswith("-files")}


def test_replicas_scaled_by_hand_survive_up(provisioned: Checkout) -> None:
    provisioned.kubectl("-n", NAMESPACE, "scale", f"deployment/{TRITON}", "--replicas=12").ok()
    provisioned.up().ok()
    assert _spec_replicas(provisioned) == 12
    # A change of the pod template must not touch them either.
    provisioned.set_config(inference=[{"triton": {"cpu": 1.5}}])
    try:
        provisioned.up().ok()
        assert _spec_replicas(provisioned) == 12
    finally:
        provisioned.reset_config()
        provisioned.up().ok()
    assert _spec_replicas(provisioned) == 12


def test_a_resource_deleted_by_hand_is_seen_and_repaired(provisioned: Checkout) -> None:
    provisioned.kubectl("-n", NAMESPACE, "delete", "service", "ai-inference-service").ok()
    refreshed = provisioned.ops("refresh").ok()
    seen = "-  kubernetes:core/v1:Service inference-triton-service deleted"
    assert refreshed.output.count(seen) == 1, refreshed.output
    provisioned.up().ok()
    provisioned.kubectl("-n", NAMESPACE, "get", "service", "ai-inference-service").ok()
    assert provisioned.preview_steps() == {}


def test_rendered_manifests_equal_the_cluster(provisioned: Checkout, tmp_path: Path) -> None:
    folder = tmp_path / "rendered"
    render("dev", folder, project=provisioned.path)
    difference = server_diff(folder, provisioned.kubeconfig, LOCAL_CONTEXT)
    assert difference == [], "\n".join(difference)


def test_a_consumer_reads_the_outputs_by_stack_reference(provisioned: Checkout) -> None:
    consumer = provisioned.path / "examples" / "consumer"

    def pulumi(*arguments: str) -> str:
        return provisioned.pulumi("--cwd", str(consumer), *arguments).ok().stdout

    pulumi("stack", "select", "dev", "--create")
    try:
        pulumi("config", "set", "inferenceStack", "organization/kubemind-inference/dev")
        pulumi("up", "--yes", "--skip-preview")
        seen = json.loads(pulumi("stack", "output", "--json"))
        pulumi("stack", "rm", "--yes", "--force")
    finally:
        provisioned.git("clean", "-qfd")
    own = json.loads(provisioned.ops("outputs", "--json").ok().stdout)
    assert seen["target"] == f"dns:///{own['endpoint']}"
    assert seen["deadlineMilliseconds"] == 1000 * own["deadlineSeconds"]
    assert seen["windows"] == list(range(0, own["minInFlight"], 64))
