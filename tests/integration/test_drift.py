"""Changes by other hands: reported, taken back by one `up`, and the scaler's left alone.

On a real engine, provider and API server; the nodes are simulated.
"""

import json
from typing import Any

from tests.integration.checkout import Checkout

NAMESPACE = "ai-namespace"
TRITON = "triton-inference-deployment"
GATEWAY = "envoy-gateway"

THEIRS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": TRITON, "namespace": NAMESPACE},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}


def _get(checkout: Checkout, kind: str, name: str) -> dict[str, Any]:
    shown = checkout.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json").ok().stdout
    return json.loads(shown)


def _specs(checkout: Checkout) -> dict[str, Any]:
    """Objects that the tests change, by name."""
    return {
        f"{kind} {name}": _get(checkout, kind, name)[field]
        for kind, name, field in (
            ("networkpolicy", GATEWAY, "spec"),
            ("networkpolicy", TRITON, "spec"),
            ("configmap", GATEWAY, "data"),
            ("poddisruptionbudget", TRITON, "spec"),
            ("scaledobject", "triton-inference-scaler", "spec"),
        )
    }


def _replicas(checkout: Checkout, name: str) -> int:
    return _get(checkout, "deployment", name)["spec"]["replicas"]


def _models(checkout: Checkout) -> str:
    volumes = _get(checkout, "deployment", TRITON)["spec"]["template"]["spec"]["volumes"]
    (name,) = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    return name


def _change_by_hand(checkout: Checkout) -> None:
    def kubectl(*arguments: str) -> None:
        checkout.kubectl("-n", NAMESPACE, *arguments).ok()

    def file(content: object) -> str:
        path = checkout.path / ".state" / "by-hand.json"
        path.write_text(json.dumps(content))
        return str(path)

    kubectl("scale", f"deployment/{GATEWAY}", "--replicas=1")
    kubectl("scale", f"deployment/{TRITON}", "--replicas=6")
    kubectl("delete", "scaledobject", "triton-inference-scaler")
    kubectl("delete", "poddisruptionbudget", TRITON)
    changed = _get(checkout, "configmap", GATEWAY)
    changed["data"] = {"envoy.yaml": "theirs"}
    kubectl("replace", "-f", file(changed))
    # A rule at the end, which Pulumi's own comparison leaves out.
    rule = json.dumps([{"op": "add", "path": "/spec/ingress/-", "value": {}}])
    kubectl("patch", "networkpolicy", GATEWAY, "--type=json", "-p", rule)
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=theirs")
    kubectl(*apply, "-f", file(THEIRS))
    # Other contents under the name that stands for ours.
    models = _get(checkout, "configmap", _models(checkout))
    models["data"] = {"theirs": "theirs"}
    del models["metadata"]["resourceVersion"], models["metadata"]["uid"]
    kubectl("replace", "--force", "-f", file(models))


def test_one_up_takes_back_what_others_changed_and_names_them(provisioned: Checkout) -> None:
    before, replicas = _specs(provisioned), _replicas(provisioned, GATEWAY)
    models = _get(provisioned, "configmap", _models(provisioned))["data"]
    quiet = provisioned.target("drift").ok()
    assert "no drift" in quiet.output, quiet.output
    _change_by_hand(provisioned)
    state = provisioned.env.checkpoint.read_text()

    drifted = provisioned.target("drift")
    assert drifted.code == 2, drifted.output
    for line in (
        f"Deployment {NAMESPACE}/{GATEWAY}: spec.replicas, set by kubectl; it is 1",
        f"ScaledObject {NAMESPACE}/triton-inference-scaler is gone",
        f"PodDisruptionBudget {NAMESPACE}/{TRITON} is gone",
        f"ConfigMap {NAMESPACE}/{GATEWAY}: data.envoy.yaml, set by kubectl-replace",
        f"NetworkPolicy {NAMESPACE}/{GATEWAY}: spec.ingress, set by kubectl-patch",
        f"NetworkPolicy {NAMESPACE}/{TRITON}: spec.ingress, set by theirs",
        f"ConfigMap {NAMESPACE}/{_models(provisioned)}: contents that do not match its name",
    ):
        assert line in drifted.output, drifted.output
    assert f"Deployment {NAMESPACE}/{TRITON}" not in drifted.output, "replicas are the scaler's"
    assert provisioned.env.checkpoint.read_text() == state
    assert _replicas(provisioned, GATEWAY) == 1

    said = provisioned.up().ok().output
    assert f"overwrites spec.replicas, set by kubectl: Deployment {NAMESPACE}/{GATEWAY}" in said
    assert f"overwrites spec.ingress, set by theirs: NetworkPolicy {NAMESPACE}/{TRITON}" in said
    assert _specs(provisioned) == before
    assert _replicas(provisioned, GATEWAY) == replicas
    assert _get(provisioned, "configmap", _models(provisioned))["data"] == models
    assert _replicas(provisioned, TRITON) == 6, "the scaler's, also with a change in the same up"
    provisioned.target("drift").ok()
    assert provisioned.preview_steps() == {}


def test_drift_of_a_cluster_that_cannot_be_read_is_an_error(provisioned: Checkout) -> None:
    away = provisioned.kubeconfig.with_name("away")
    provisioned.kubeconfig.rename(away)
    try:
        ran = provisioned.target("drift").failed()
        assert ran.code == 1, ran.output
        assert "cannot be read" in ran.output
    finally:
        away.rename(provisioned.kubeconfig)
