"""A platform team's account on AWS: a stand-in answers for it, and the cluster is simulated."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml

from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.spec import Resources
from ops.stack.environment import PROJECT
from tests.integration.cert_manager import cert_manager
from tests.integration.checkout import Checkout, Ran
from tests.integration.eks_standins import eks_standins
from tests.standin_aws.world import WORLD_VARIABLE, World

CLUSTER = "inference"
SUBNETS = ["subnet-a", "subnet-b"]
G6_12XLARGE = Resources(cpu=47, memory_gib=180, disk_gib=180, gpus=4)
UNATTENDED = ("--yes", "--skip-preview")

_DEFINITIONS = ("podmonitor-crd", "prometheusrule-crd")
"""Definitions of the operators that the platform team runs."""


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


@contextmanager
def an_account(checkout: Checkout, cluster: Cluster, folder: Path) -> Iterator[Account]:
    """Yield an account with a cluster that has an EBS storage class, and whose controllers answer.

    Args:
        checkout: The checkout whose cluster it is.
        cluster: That cluster.
        folder: Folder for the backend and for what exists in AWS.
    """
    backend, home = folder / "backend", folder / "home"
    backend.mkdir()
    toolchain.link_plugins(home)
    env = {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "of the teams",
        "PULUMI_HOME": str(home),
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        WORLD_VARIABLE: str(folder / "world.json"),
        **{f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")},
    }
    file = checkout.path / "Pulumi.yaml"
    plugin = {"name": "aws", "path": str(PROJECT / "tests" / "standin_aws")}
    project = {**yaml.safe_load(file.read_text()), "plugins": {"providers": [plugin]}}
    file.write_text(yaml.safe_dump(project))
    account = Account(checkout, folder, env)
    client = cluster.client()
    add_ons = str(PROJECT / "tests" / "fixtures" / "eks-cluster.yaml")
    operator = toolchain.ensure(*_DEFINITIONS)
    files = [flag for file in (add_ons, *map(str, operator.values())) for flag in ("-f", file)]
    try:
        # The definitions are too long for the annotation of a client-side apply.
        checkout.kubectl("apply", "--server-side", *files).ok()
        with (
            eks_standins(client, account.world, G6_12XLARGE),
            cert_manager(checkout, folder, trustme.CA()),
        ):
            try:
                yield account
            finally:
                # Of a stack that was not destroyed: without its server no namespace can go.
                api_service = ("apiservice", "v1beta1.external.metrics.k8s.io")
                checkout.kubectl("delete", "--ignore-not-found", *api_service).ok()
    finally:
        checkout.delete_definitions()
        checkout.kubectl("delete", "--ignore-not-found", *files).ok()
        checkout.git("checkout", "-q", "--", ".")
        checkout.git("clean", "-q", "--force", "examples")


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
