"""`up` and a rollout that cannot succeed, on a real engine, provider, API server and scheduler.

Not shown here: containers that crash and images that are not there, as no kubelet runs on simulated
nodes; tests/serving does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.common.pods import Manifest
from config.sections.inference import InferenceStack
from ops.stack.lifecycle import read_settings
from tests.integration.checkout import Checkout

REFUSING = "refuses-rollouts"

BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": REFUSING},
    "spec": {"policyName": REFUSING, "validationActions": ["Deny"]},
}


def policy(group: str, resource: str, operation: str, expression: str, message: str) -> Manifest:
    """Return a policy that admits objects of one kind by a CEL expression."""
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": [operation],
        "resources": [resource],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": REFUSING},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": message}],
        },
    }


# A pod that preflight tries has no owner, and so is let in.
NO_PODS = policy(
    "",
    "pods",
    "CREATE",
    "!has(object.metadata.ownerReferences)",
    "no pods today, says the platform team",
)


def no_change_of(deployment: str) -> Manifest:
    """Return a policy that refuses every change of a Deployment, and admits dry runs."""
    return policy(
        "apps",
        "deployments",
        "UPDATE",
        f"object.metadata.name != '{deployment}' || (has(request.dryRun) && request.dryRun)",
        f"{deployment} is frozen, says the platform team",
    )


@contextmanager
def enforced(checkout: Checkout, folder: Path, refusing: Manifest) -> Iterator[None]:
    """Apply a policy of the cluster's owner for a while."""
    file = folder / "policy.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [refusing, BINDING]}))
    checkout.kubectl("apply", "-f", str(file)).ok()
    try:
        yield
    finally:
        checkout.kubectl("delete", "-f", str(file)).ok()


@pytest.fixture
def stack(provisioned: Checkout) -> InferenceStack:
    return read_settings(provisioned.env).inference[0]


def test_rollouts_that_a_policy_refuses_fail_together_and_keep_nothing_else_away(
    provisioned: Checkout, stack: InferenceStack, tmp_path: Path
) -> None:
    """The first run fails; the next, with the policy gone and nothing else changed, succeeds."""
    names = (stack.deployment_name, stack.gateway_name)
    ready = ("get", "deployment", *names, "-n", stack.namespace)
    ready = (*ready, "-o", "jsonpath={.items[*].status.availableReplicas}")
    before = provisioned.kubectl(*ready).ok().stdout
    change = {
        "triton": {"cpu": stack.triton.cpu * 2},
        "gateway": {"dnsRefreshSeconds": stack.gateway.dns_refresh_seconds / 2},
        "autoscaler": {"cooldownSeconds": stack.autoscaler.cooldown_seconds + 60},
    }
    provisioned.set_config(inference=[change])
    with enforced(provisioned, tmp_path, NO_PODS):
        ran = provisioned.pulumi("up", "--yes", "--skip-preview").failed()
    for name in names:
        assert f"Deployment {stack.namespace}/{name} cannot be rolled out" in ran.output
    assert "no pods today, says the platform team" in ran.output
    assert "keep serving" in ran.output
    # What was there serves on, and all else is as stated.
    assert provisioned.kubectl(*ready).ok().stdout == before
    scaler = ("get", "scaledobject", stack.scaler_name, "-n", stack.namespace)
    stated = provisioned.kubectl(*scaler, "-o", "jsonpath={.spec.cooldownPeriod}").ok().stdout
    assert int(stated) == stack.autoscaler.cooldown_seconds + 60
    # Nothing is left to change, and still a run that ends well means that all is rolled out.
    provisioned.pulumi("up", "--yes", "--skip-preview").ok()
    for name in names:
        status = ("rollout", "status", f"deployment/{name}", "-n", stack.namespace)
        provisioned.kubectl(*status, "--timeout=1s").ok()
    provisioned.reset_config()
    provisioned.up().ok()


def test_a_deployment_that_a_policy_refuses_keeps_the_scaler_up_to_date(
    provisioned: Checkout, stack: InferenceStack, tmp_path: Path
) -> None:
    """As `make up` runs the engine. Not shown: bare `pulumi up`, which stops at the first error."""
    run = ("up", "--yes", "--skip-preview", "--continue-on-error")
    change = {
        "gateway": {"dnsRefreshSeconds": stack.gateway.dns_refresh_seconds / 2},
        "autoscaler": {"cooldownSeconds": stack.autoscaler.cooldown_seconds + 120},
    }
    provisioned.set_config(inference=[change])
    with enforced(provisioned, tmp_path, no_change_of(stack.gateway_name)):
        ran = provisioned.pulumi(*run).failed()
    assert f"{stack.gateway_name} is frozen, says the platform team" in ran.output
    scaler = ("get", "scaledobject", stack.scaler_name, "-n", stack.namespace)
    stated = provisioned.kubectl(*scaler, "-o", "jsonpath={.spec.cooldownPeriod}").ok().stdout
    assert int(stated) == stack.autoscaler.cooldown_seconds + 120
    provisioned.pulumi(*run).ok()
    provisioned.reset_config()
    provisioned.up().ok()
