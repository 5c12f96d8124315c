"""Rollbacks and interruptions on a real engine, provider and API server.

The nodes are simulated: that pods which read what is kept here serve, tests/serving shows.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout
from tests.integration.test_failures import no_pod_starts

NAMESPACE = "ai-namespace"
TRITON = "triton-inference-deployment"
WORKLOADS = (TRITON, "envoy-gateway")

B: dict[str, Any] = {"traffic": {"serviceTimeSeconds": 0.03}, "triton": {"memoryMib": 640}}
"""Parameters that change the models, the gateway's configuration and Triton's pods."""


def _items(checkout: Checkout, kind: str, *arguments: str) -> list[dict[str, Any]]:
    shown = checkout.kubectl("-n", NAMESPACE, "get", kind, *arguments, "-o", "json").ok().stdout
    return json.loads(shown)["items"]


def _immutable(checkout: Checkout) -> set[str]:
    return {i["metadata"]["name"] for i in _items(checkout, "configmaps") if i.get("immutable")}


def _mounted(item: dict[str, Any]) -> set[str]:
    volumes = item["spec"]["template"]["spec"]["volumes"]
    return {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}


def _history(checkout: Checkout) -> set[str]:
    return {name for item in _items(checkout, "replicasets") for name in _mounted(item)}


def _memory(checkout: Checkout) -> str:
    path = "jsonpath={.spec.template.spec.containers[0].resources.limits.memory}"
    shown = checkout.kubectl("-n", NAMESPACE, "get", "deployment", TRITON, "-o", path)
    return shown.ok().stdout


def _assert_whole(checkout: Checkout) -> None:
    """Each object that a ReplicaSet of the history mounts is there."""
    missing = _history(checkout) - {
        item["metadata"]["name"] for item in _items(checkout, "configmaps")
    }
    assert not missing


@contextmanager
def no_deployment_changes(checkout: Checkout) -> Iterator[None]:
    """Let the API server refuse every change of a Deployment's pods, as an admission policy may."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "frozen"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ]
            },
            "validations": [
                {
                    "expression": "object.spec.template == oldObject.spec.template",
                    "message": "pods are frozen",
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "frozen"},
        "spec": {"policyName": "frozen", "validationActions": ["Deny"]},
    }
    file = checkout.path / ".state" / "frozen.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}))
    patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})

    def refuses() -> bool:
        asked = checkout.kubectl(
            *("-n", NAMESPACE, "patch", "deployment", TRITON, "-p", patch, "--dry-run=server")
        )
        return "pods are frozen" in asked.output

    checkout.kubectl("apply", "-f", str(file)).ok()
    try:
        wait_until("the policy to be in force", refuses, 60)
        yield
    finally:
        checkout.kubectl("delete", "-f", str(file)).ok()
        wait_until("the policy to be gone", lambda: not refuses(), 60)
        file.unlink()


def killed_in_the_rollout(checkout: Checkout) -> None:
    """Start bare `pulumi up`, and kill it once Triton's Deployment is changed."""
    before = _memory(checkout)
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
        cwd=checkout.path,
        env=checkout.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until("the rollout", lambda: _memory(checkout) != before, 120)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_models_that_are_put_back_after_a_failed_rollout_are_there(provisioned: Checkout) -> None:
    a = _immutable(provisioned)
    assert len(a) == 2
    assert a >= _history(provisioned)
    provisioned.set_config(inference=[B])
    with no_deployment_changes(provisioned):
        assert "pods are frozen" in provisioned.up().failed().output
    b = _immutable(provisioned) - a
    assert b, "the new contents are there before the Deployment that mounts them"
    provisioned.reset_config()
    provisioned.up().ok()
    assert _immutable(provisioned) == a, "of B no ReplicaSet ever was: it is collected"
    provisioned.up("--expect-no-changes").ok()
    assert _immutable(provisioned) == a


def test_bare_pulumi_takes_back_what_a_killed_run_changed(provisioned: Checkout) -> None:
    a, memory = _immutable(provisioned), _memory(provisioned)
    provisioned.set_config(inference=[B])
    with no_pod_starts(provisioned):
        killed_in_the_rollout(provisioned)
    b = _immutable(provisioned) - a
    assert _memory(provisioned) != memory
    provisioned.reset_config()
    provisioned.pulumi("cancel", "--yes").ok()
    deployment = "kubernetes:apps/v1:Deployment::inference-triton-deployment"
    assert deployment in provisioned.preview_steps(), "the state alone says that nothing is to do"
    provisioned.pulumi("up", "--yes", "--skip-preview").ok()
    assert _memory(provisioned) == memory
    _assert_whole(provisioned)
    assert a <= _immutable(provisioned)
    # B can still be rolled back to: its ReplicaSets are in the history.
    assert b & _history(provisioned) <= _immutable(provisioned)
    assert provisioned.preview_steps() == {}


def test_contents_are_collected_once_their_replica_set_is_gone(provisioned: Checkout) -> None:
    a = _immutable(provisioned)
    config = {"data": {"x": "y"}, "immutable": True}
    labels = f"app.kubernetes.io/instance={TRITON},app.kubernetes.io/part-of=kubemind-inference"
    for name in ("abandoned", "in-use"):
        provisioned.kubectl(
            *("-n", NAMESPACE, "create", "configmap", name, "--from-literal=x=y")
        ).ok()
        provisioned.kubectl(
            *("-n", NAMESPACE, "patch", "configmap", name, "-p", json.dumps(config))
        ).ok()
        provisioned.kubectl(*("-n", NAMESPACE, "label", "configmap", name, *labels.split(","))).ok()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "user", "namespace": NAMESPACE},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "c",
                    "image": "any",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "v", "configMap": {"name": "in-use"}}],
        },
    }
    file = provisioned.path / ".state" / "pod.json"
    file.write_text(json.dumps(pod))
    try:
        provisioned.kubectl("apply", "-f", str(file)).ok()
        provisioned.up().ok()
        assert _immutable(provisioned) == a | {"in-use"}
        provisioned.kubectl("delete", "-f", str(file), "--wait").ok()
        provisioned.up().ok()
        assert _immutable(provisioned) == a
    finally:
        file.unlink()


def test_the_deployment_owns_what_it_mounts(provisioned: Checkout) -> None:
    """So that Kubernetes deletes it with the Deployment, which the engine does not."""
    deployments = {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in _items(provisioned, "deployments")
    }
    for item in _items(provisioned, "configmaps"):
        if item.get("immutable"):
            (owner,) = item["metadata"]["ownerReferences"]
            assert deployments[owner["name"]] == owner["uid"]
