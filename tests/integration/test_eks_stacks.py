"""Staging and prod as shipped, between a platform team's stack and a consumer's, by the real CLI.

A stand-in answers for AWS (tests/standin_aws, whose head says what it does not prove), and others
for EKS's controllers (eks_standins.py). The API server and its controllers are real, and the nodes
are simulated. The shipped files are changed where the test says so.
Not shown: that AWS, or pulumi-aws, accepts anything.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.common.labels import PART_OF, PART_OF_LABEL
from config.base import PROJECT as PULUMI_PROJECT
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.spec import Resources
from ops.stack.environment import PROJECT
from tests.integration.checkout import Checkout, Ran
from tests.integration.eks_standins import eks_standins
from tests.standin_aws.world import NODE_GROUP, WORLD_VARIABLE, World

CLUSTER = "inference"
SUBNETS = ["subnet-a", "subnet-b"]
G6_12XLARGE = Resources(cpu=47, memory_gib=180, disk_gib=180, gpus=4)
UNATTENDED = ("--yes", "--skip-preview")


@dataclass(frozen=True)
class Account:
    """An AWS account, a cluster in it, and the teams' file backend."""

    checkout: Checkout
    folder: Path
    env: dict[str, str]

    @property
    def world(self) -> World:
        return World(self.folder / "world.json")

    def stack(self, name: str) -> Checkout:
        """The product's stack of that name, as a user of this account drives it."""
        return Checkout(self.checkout.path, name, self.env)

    def team(self, example: str, *arguments: str) -> Ran:
        """Bare `pulumi` in another team's project."""
        folder = str(self.checkout.path / "examples" / example)
        return self.stack("prod").pulumi("--cwd", folder, *arguments)


@pytest.fixture
def account(empty: Checkout, bare_cluster: Cluster, tmp_path: Path) -> Iterator[Account]:
    """An account with a cluster that has an EBS storage class, and whose controllers answer."""
    backend, home = tmp_path / "backend", tmp_path / "home"
    backend.mkdir()
    toolchain.link_plugins(home)
    env = {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "of the teams",
        "PULUMI_HOME": str(home),
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        WORLD_VARIABLE: str(tmp_path / "world.json"),
        **{f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "CONFIG", "DATA")},
    }
    file = empty.path / "Pulumi.yaml"
    plugin = {"name": "aws", "path": str(PROJECT / "tests" / "standin_aws")}
    project = {**yaml.safe_load(file.read_text()), "plugins": {"providers": [plugin]}}
    file.write_text(yaml.safe_dump(project))
    found = Account(empty, tmp_path, env)
    client = bare_cluster.client()
    add_ons = str(PROJECT / "tests" / "fixtures" / "eks-cluster.yaml")
    operator = toolchain.ensure("podmonitor-crd", "prometheusrule-crd")
    files = [flag for file in (add_ons, *map(str, operator.values())) for flag in ("-f", file)]
    # The definitions are too long for the annotation of a client-side apply.
    empty.kubectl("apply", "--server-side", *files).ok()
    try:
        with eks_standins(client, found.world, G6_12XLARGE):
            yield found
    finally:
        # Of a stack that was not destroyed: without its server no namespace can go.
        api_service = ("apiservice", "v1beta1.external.metrics.k8s.io")
        empty.kubectl("delete", "--ignore-not-found", *api_service).ok()
        empty.delete_definitions()
        empty.kubectl("delete", "--ignore-not-found", *files).ok()
        empty.git("checkout", "-q", "--", ".")
        empty.git("clean", "-q", "--force", "examples")


def provision_platform(account: Account, name: str) -> None:
    """The platform team's stack: it exports the way to the cluster, its name and its subnets."""
    values = {
        "kubeconfigFile": str(account.checkout.kubeconfig),
        "asObject": "true",
        "clusterName": CLUSTER,
        "subnetIds": json.dumps(SUBNETS),
    }
    account.team("platform", "stack", "select", name, "--create").ok()
    for key, value in values.items():
        account.team("platform", "config", "set", key, value).ok()
    account.team("platform", "up", *UNATTENDED).ok()


def node_group(account: Account) -> dict[str, Any]:
    """The one node group of the account."""
    (group,) = account.world.groups.values()
    return group


def steps(stack: Checkout) -> dict[str, str]:
    """Operations of a preview by `type::name`, without the platform's stack, which is read."""
    return {name: op for name, op in stack.preview_steps().items() if op != "read"}


def calls(account: Account) -> list[Any]:
    """Calls by which the account was changed."""
    return account.world.read()["calls"]


def unchanged(stack: Checkout, account: Account) -> None:
    """Nothing is left to do, in the preview and in AWS."""
    before = calls(account)
    stack.pulumi("preview", "--expect-no-changes").ok()
    stack.pulumi("up", *UNATTENDED, "--expect-no-changes").ok()
    assert calls(account) == before


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

    before = calls(account), prod.objects()
    said = prod.ops("destroy", "--yes").failed().output
    assert "prod is protected, so nothing was touched" in said
    assert (calls(account), prod.objects()) == before
    prod.pulumi("state", "unprotect", "--all", "--yes").ok()
    prod.ops("destroy", "--yes").ok()
    left = account.world.read()["resources"]
    assert not any(left.values()), left
