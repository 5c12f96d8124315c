"""Staging and prod as shipped, between a platform team's stack and a consumer's, by the real CLI.

A stand-in answers for AWS (tests/standin_aws, whose head says what it does not prove), and others
for EKS's controllers (eks_standins.py). The API server and its controllers are real, and the nodes
are simulated. The shipped files are changed where the test says so.
Not shown: that AWS, or pulumi-aws, accepts anything.
"""

import json
from typing import Any

import pytest

from components.common.labels import PART_OF, PART_OF_LABEL
from config.base import PROJECT as PULUMI_PROJECT
from tests.integration.checkout import Checkout
from tests.integration.eks_account import (
    UNATTENDED,
    Account,
    calls,
    provision_platform,
    steps,
    unchanged,
)
from tests.standin_aws.world import NODE_GROUP


def node_group(account: Account) -> dict[str, Any]:
    """The one node group of the account."""
    (group,) = account.world.groups.values()
    return group


HOST_NAME = "inference.example.com"

CHANGED: dict[str, Any] = {
    "gpuNodes": {
        "groups": [
            {
                "maxSize": 8,
                "diskGib": 400,
                "diskThroughputMibps": 1000,
                "diskIops": 4000,
                "kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1a2b",
                "labels": {"team": "vision"},
                "permissionsBoundaryArn": "arn:aws:iam::123456789012:policy/bound",
                "ssm": True,
                "tags": {"cost": "vision"},
            }
        ]
    },
    "prometheus": {"podMonitorLabels": {"team": "vision"}},
    "inference": [
        {
            "gateway": {
                "exposure": {"crossZone": False, "hostName": HOST_NAME},
                "clientNamespaces": ["orchestrator", "batch"],
            },
            "triton": {
                "modelRepository": {"revision": "r2"},
                "maxSurgePercent": 20,
                "warmSpare": {"replicas": 1},
            },
        }
    ],
}
"""One change of each kind to prod that its simulated nodes can follow."""

STEPS = {
    "aws:autoscaling/tag:Tag::gpu-label-team": "create",
    "aws:autoscaling/tag:Tag::gpu-resources-ephemeral-storage": "update",
    "aws:ec2/launchTemplate:LaunchTemplate::gpu-launch-template": "update",
    "aws:eks/nodeGroup:NodeGroup::gpu-nodes": "update",
    "aws:iam/role:Role::gpu-role": "update",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment::gpu-AmazonSSMManagedInstanceCore": "create",
    "kubemind:index:WarmSpare::inference-warm-spare": "create",
    # The gateways' limits follow from the surge.
    "kubernetes:apps/v1:Deployment::inference-gateway-deployment": "update",
    "kubernetes:apps/v1:Deployment::inference-triton-deployment": "update",
    "kubernetes:apps/v1:Deployment::inference-warm-spare-deployment": "create",
    "kubernetes:cert-manager.io/v1:Certificate::inference-gateway-certificate": "update",
    "kubernetes:core/v1:ConfigMap::inference-gateway-config": "update",
    "kubernetes:core/v1:ConfigMap::inference-gateway-files": "replace",
    "kubernetes:core/v1:Service::inference-gateway-service": "update",
    "kubernetes:monitoring.coreos.com/v1:PodMonitor::pod-monitors-envoy-gateway": "update",
    "kubernetes:monitoring.coreos.com/v1:PodMonitor::pod-monitors-triton-inference-deployment": (
        "update"
    ),
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule::pod-monitors-triton-inference-scaler": (
        "update"
    ),
    "kubernetes:networking.k8s.io/v1:NetworkPolicy::inference-network-gateway": "update",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy::inference-network-warm-spare": "create",
    "kubernetes:scheduling.k8s.io/v1:PriorityClass::inference-warm-spare-priority": "create",
}
"""Steps of those changes."""


def change_each_kind(prod: Checkout, account: Account) -> None:
    """Change prod, and take its models back to the revision before."""
    prod.set_config(**CHANGED)
    assert steps(prod) == STEPS
    prod.pulumi("up", *UNATTENDED).ok()
    assert node_group(account)["scalingConfig"]["maxSize"] == 8
    assert steps(prod) == {}
    prod.set_config(inference=[{"triton": {"modelRepository": {"revision": "r1"}}}])
    rolled = "kubernetes:apps/v1:Deployment::inference-triton-deployment"
    assert steps(prod) == {rolled: "update"}
    prod.pulumi("up", *UNATTENDED).ok()


def change_from_outside(prod: Checkout, account: Account) -> None:
    """Let an autoscaler and strangers change what prod has; refresh, find it and repair it."""
    group = node_group(account)["nodeGroupName"]
    account.world.scale(group, 3)
    prod.pulumi("refresh", "--yes", "--skip-preview").ok()
    assert steps(prod) == {}
    assert "no drift" in prod.ops("drift").ok().output
    with account.world.change() as world:
        (changed,) = world["resources"][NODE_GROUP].values()
        changed["labels"]["team"] = "theirs"
    budget = ("delete", "-n", "ai-namespace", "poddisruptionbudget", "envoy-gateway")
    prod.kubectl(*budget).ok()
    before = calls(account), prod.objects()
    drifted = prod.ops("drift")
    assert drifted.code == 2, drifted.output
    assert "gpu-nodes differs: labels.team" in drifted.output
    assert "PodDisruptionBudget ai-namespace/envoy-gateway is gone" in drifted.output
    assert (calls(account), prod.objects()) == before
    prod.pulumi("up", *UNATTENDED).ok()
    assert node_group(account)["labels"]["team"] == "vision"
    assert node_group(account)["scalingConfig"]["desiredSize"] == 3
    assert "no drift" in prod.ops("drift").ok().output


def test_staging_as_shipped(account: Account, chart_repository: str) -> None:
    provision_platform(account, "staging")
    staging = account.stack("staging")
    # The machine has no way to the chart's own repository.
    staging.set_config(keda={"kind": "helm", "repository": chart_repository})
    staging.delete_definitions("-l", "kubemind.io/content")
    staging.pulumi("stack", "select", "staging", "--create").ok()
    assert set(steps(staging).values()) == {"create"}
    staging.pulumi("up", *UNATTENDED).ok()
    unchanged(staging, account)

    # The Cluster Autoscaler and KEDA move both fleets between runs.
    group = node_group(account)["nodeGroupName"]
    account.world.scale(group, 2)
    replicas = ("-n", "ai-namespace", "scale", "deployment", "triton-inference-deployment")
    staging.kubectl(*replicas, "--replicas", "5").ok()
    unchanged(staging, account)
    staging.set_config(gpuNodes={"groups": [{"maxSize": 3}]})
    assert steps(staging) == {"aws:eks/nodeGroup:NodeGroup::gpu-nodes": "update"}
    staging.pulumi("up", *UNATTENDED).ok()
    size = node_group(account)["scalingConfig"]
    assert (size["minSize"], size["desiredSize"], size["maxSize"]) == (1, 2, 3)
    assert account.world.read()["ended"] == {}
    unchanged(staging, account)

    staging.pulumi("destroy", *UNATTENDED).ok()
    left = account.world.read()["resources"]
    assert not any(left.values()), left
    staging.kubectl("delete", "namespace", "-l", f"{PART_OF_LABEL}={PART_OF}").ok()


# Six runs of `up`, each with a refresh before it, on a machine that may be busy.
@pytest.mark.timeout(1200)
def test_prod_as_shipped(account: Account) -> None:
    """Prod between the platform's stack and a consumer's; KEDA is only its definitions here.

    Not shown: that an existing KEDA accepts the ScaledObject and scales by it.
    """
    provision_platform(account, "prod")
    prod = account.stack("prod")
    prod.pulumi("stack", "select", "prod", "--create").ok()
    assert set(steps(prod).values()) == {"create"}
    prod.pulumi("up", *UNATTENDED).ok()
    unchanged(prod, account)
    change_each_kind(prod, account)
    change_from_outside(prod, account)

    account.team("consumer", "stack", "select", "prod", "--create").ok()
    inference = f"organization/{PULUMI_PROJECT}/prod"
    account.team("consumer", "config", "set", "inferenceStack", inference).ok()
    account.team("consumer", "up", *UNATTENDED).ok()
    shown = json.loads(account.team("consumer", "stack", "output", "--json").ok().stdout)
    assert shown["target"] == f"dns:///{HOST_NAME}:8080"
    assert (shown["tls"], shown["serverName"]) == (True, HOST_NAME)

    before = calls(account), prod.objects()
    said = prod.ops("destroy", "--yes").failed().output
    assert "prod is protected, so nothing was touched" in said
    assert (calls(account), prod.objects()) == before
    prod.pulumi("state", "unprotect", "--all", "--yes").ok()
    prod.ops("destroy", "--yes").ok()
    left = account.world.read()["resources"]
    assert not any(left.values()), left
