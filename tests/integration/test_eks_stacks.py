"""Staging and prod as shipped, between a platform team's stack and a consumer's, by the real CLI.

A stand-in answers for AWS (tests/standin_aws, whose head says what it does not prove), and others
for EKS's controllers (eks_standins.py). The API server and its controllers are real, and the nodes
are simulated. The shipped files are changed where the test says so.
Not shown: that AWS, or pulumi-aws, accepts anything.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from components.common.labels import PART_OF, PART_OF_LABEL
from components.rollout.node_groups import drain_command
from config.base import PROJECT as PULUMI_PROJECT
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from config.selectors import gateway_selector, prometheus_selector, triton_selector
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import CONFIG_PREFIX, Checkout
from tests.integration.eks_account import (
    UNATTENDED,
    Account,
    calls,
    provision_platform,
    steps,
    unchanged,
)
from tests.integration.eks_changes import (
    ADDED,
    ALERTS,
    HOST_NAME,
    IN_PLACE,
    NEW_VOLUME,
    PROD,
    PROD_PATHS,
    PROD_STEPS,
    PULL_SECRET,
    REMOVED,
    REPLICAS,
    RETIRED,
    SPOT,
    STAGING,
    STAGING_STEPS,
)
from tests.integration.eks_runs import change, plan
from tests.integration.eks_standins import EDGE
from tests.standin_aws.world import NODE_GROUP

FLEET = InferenceStack()
WATCHER = ManagedPrometheus()


def node_group(account: Account) -> dict[str, Any]:
    """The one node group of the account."""
    (group,) = account.world.groups.values()
    return group


def on_nodes(
    stack: Checkout,
    nodes: str,
    count: int,
    selector: Mapping[str, str],
    namespace: str = FLEET.namespace,
) -> None:
    """Wait until all selected pods, so many, are on nodes whose names begin so."""
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    names = "jsonpath={range .items[*]}{.spec.nodeName}{'\\n'}{end}"
    pods = ("get", "pods", "-n", namespace, "-l", labels, "-o", names)

    def there() -> bool:
        found = stack.kubectl(*pods).ok().stdout.splitlines()
        return len(found) == count and all(name.startswith(nodes) for name in found)

    wait_until(f"{count} pods are on nodes {nodes}*", there, 60)


def give_credentials(stack: Checkout) -> None:
    """Create the pull secret of the changes in each namespace of the stack."""
    ours = ("get", "namespaces", "-l", f"{PART_OF_LABEL}={PART_OF}", "-o", "name")
    for namespace in stack.kubectl(*ours).ok().stdout.split():
        at = ("--namespace", namespace.removeprefix("namespace/"))
        login = ("--docker-server=mirror.example.com", "--docker-username=u", "--docker-password=p")
        secret = ("create", "secret", "docker-registry", PULL_SECRET)
        stack.kubectl(*at, *secret, *login).ok()


def change_each_kind(prod: Checkout, account: Account) -> None:
    """Change prod, and take its models back to the revision before, without alerts."""
    give_credentials(prod)
    prod.set_config(**PROD)
    found = change(prod, PROD_STEPS)
    assert {step: found.changed[step] for step in PROD_PATHS} == PROD_PATHS
    assert node_group(account)["scalingConfig"]["maxSize"] == 8
    on_nodes(prod, f"{EDGE}-", 3, gateway_selector(FLEET))
    on_nodes(prod, "gpu-nodes-", 1, triton_selector(FLEET))
    prod.set_config(
        prometheus={"alertRules": False},
        inference=[{"triton": {"modelRepository": {"revision": "r1"}}}],
    )
    change(prod, {REPLICAS: "update", ALERTS: "delete"})


def exchange_the_group(prod: Checkout, account: Account) -> None:
    """Replace the group by one of spot nodes, by the steps of docs/eks.md.

    The new nodes run at once, and the test empties the old group in the autoscaler's place.
    Not shown: that an autoscaler leaves the nodes of a retiring group to the drain.
    """
    stated = prod.env.stack_file.read_text()
    budget = {"triton": {"disruptionBudget": None}}
    spot = {"capacityType": "SPOT", "capacityReservationId": None}
    prod.set_config(gpuNodes={"groups": [spot]}, inference=[budget])
    said = " ".join(prod.pulumi("preview").failed().output.split())
    assert "OUTAGE: gpuNodes.groups[0].capacityType ON_DEMAND -> SPOT replaces node group" in said
    assert "unable to replace resource" in said
    prod.env.stack_file.write_text(stated)

    replicas = triton_selector(FLEET)
    fleet = ("-n", FLEET.namespace, "scale", "deployment", FLEET.deployment_name)
    prod.kubectl(*fleet, "--replicas", "4").ok()
    on_nodes(prod, "gpu-nodes-", 4, replicas)
    old = node_group(account)["nodeGroupName"]
    prod.set_config(gpuNodes={"groups": [{}, SPOT]}, inference=[budget])
    previews = [change(prod, ADDED)]
    prod.set_config(gpuNodes={"groups": [{"retiring": True}]})
    previews.append(change(prod, RETIRED))
    on_nodes(prod, "gpu-nodes-", 4, replicas)
    drain = drain_command("gpu")
    assert "4 replicas still run on the node group gpu" in previews[-1].messages
    assert drain in previews[-1].messages
    prod.kubectl(*shlex.split(drain)[1:]).ok()
    on_nodes(prod, "spot-nodes-", 4, replicas)
    account.world.scale(old, 0)
    prod.pulumi("config", "rm", "--path", f"{CONFIG_PREFIX}gpuNodes.groups[0]").ok()
    previews.append(change(prod, REMOVED))
    assert not [one for one in previews if "outage" in one.messages.lower()]
    assert account.world.read()["ended"] == {}


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
    assert "spot-nodes differs: labels.team" in drifted.output
    assert "PodDisruptionBudget ai-namespace/envoy-gateway is gone" in drifted.output
    assert (calls(account), prod.objects()) == before
    prod.pulumi("up", *UNATTENDED).ok()
    assert node_group(account)["labels"]["team"] == "vision"
    assert node_group(account)["scalingConfig"]["desiredSize"] == 3
    assert "no drift" in prod.ops("drift").ok().output


def preview_an_outage(staging: Checkout) -> None:
    """State another purchase option, and take it back."""
    staging.set_config(gpuNodes={"groups": [{"capacityType": "ON_DEMAND"}]})
    previewed = plan(staging)
    assert previewed.steps == IN_PLACE
    outage = "OUTAGE: gpuNodes.groups[0].capacityType SPOT -> ON_DEMAND replaces node group"
    assert outage in previewed.messages
    staging.set_config(gpuNodes={"groups": [{"capacityType": "SPOT"}]})


def move_prometheus(staging: Checkout) -> None:
    """Give Prometheus a volume of another class and size, by the steps of preflight's message."""
    at = ("--namespace", WATCHER.namespace)
    claim = ("persistentvolumeclaim", WATCHER.name)
    for refused in (
        {"storageClassName": "gp3-fast"},
        {"resources": {"requests": {"storage": "10Gi"}}},
        {"resources": {"requests": {"storage": "30Gi"}}},
    ):
        patch = json.dumps({"spec": refused})
        staging.kubectl(*at, "patch", *claim, "--dry-run=server", "--patch", patch).failed()
    staging.set_config(prometheus={"persistentVolume": {"storageClass": "gp3-fast", "sizeGib": 30}})
    said = " ".join(staging.pulumi("preview").failed().output.split())
    assert "volume is of StorageClass gp3, and Kubernetes moves no volume" in said
    assert "StorageClass gp3 does not allow volumes to grow" in said
    delete = (*at, "delete", "deployment,persistentvolumeclaim", WATCHER.name)
    assert f"kubectl {' '.join(delete)}" in said
    staging.kubectl(*delete).ok()
    change(staging, NEW_VOLUME)


# A dozen runs of the engine, on a machine that may be busy.
@pytest.mark.timeout(1200)
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
    preview_an_outage(staging)
    give_credentials(staging)
    staging.set_config(**STAGING)
    change(staging, STAGING_STEPS)
    size = node_group(account)["scalingConfig"]
    assert (size["minSize"], size["desiredSize"], size["maxSize"]) == (1, 2, 3)
    assert account.world.read()["ended"] == {}
    on_nodes(staging, f"{EDGE}-", 1, prometheus_selector(WATCHER), WATCHER.namespace)
    move_prometheus(staging)
    unchanged(staging, account)

    staging.pulumi("destroy", *UNATTENDED).ok()
    left = account.world.read()["resources"]
    assert not any(left.values()), left
    staging.kubectl("delete", "namespace", "-l", f"{PART_OF_LABEL}={PART_OF}").ok()


# Nine runs of `up`, each with a refresh before it, on a machine that may be busy.
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
    exchange_the_group(prod, account)
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
    # The stack leaves the Secret of another owner, and so its namespace.
    prod.kubectl("get", "secret", PULL_SECRET, "--namespace", FLEET.namespace).ok()
    prod.delete_namespaces()
