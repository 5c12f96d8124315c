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
from tests.integration.eks_standins import BALANCER, eks_standins
from tests.standin_aws.world import WORLD_VARIABLE, World

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

    account.team("consumer", "stack", "select", "prod", "--create").ok()
    inference = f"organization/{PULUMI_PROJECT}/prod"
    account.team("consumer", "config", "set", "inferenceStack", inference).ok()
    account.team("consumer", "up", *UNATTENDED).ok()
    shown = json.loads(account.team("consumer", "stack", "output", "--json").ok().stdout)
    assert shown["target"] == f"dns:///{BALANCER}:8080"

    before = calls(account), prod.objects()
    said = prod.ops("destroy", "--yes").failed().output
    assert "prod is protected, so nothing was touched" in said
    assert (calls(account), prod.objects()) == before
    prod.pulumi("state", "unprotect", "--all", "--yes").ok()
    prod.ops("destroy", "--yes").ok()
    left = account.world.read()["resources"]
    assert not any(left.values()), left
