"""Drains of nodes with several replicas, and their spread, on a real API server and scheduler.

`config/checks/evictions.py` computes how long such a drain takes; here its rounds are counted. Not
proved here: EKS's own drain, and the seconds that a replica takes to load and to end.
"""

import re
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Node, PodEviction, ServiceAccount
from lightkube.resources.policy_v1 import PodDisruptionBudget

from components.triton import model_repository
from components.triton import workload as triton
from config.base import PROJECT_FOLDER
from config.checks.evictions import update_rounds
from config.checks.stack_paths import stacks
from config.load import parse, read_stack_file
from config.schema.overrides import with_overrides
from config.settings import Settings
from config.sizing.packing import evictable
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.spec import Resources
from tests.envoy.harness.waiting import wait_until
from tests.integration.standin_kubelet import TAINT, Join, Kubelet, takes_pods

PROD = parse(read_stack_file(PROJECT_FOLDER / "Pulumi.prod.yaml"))
GROUP = "gpuNodes.groups[0]"
BUDGET = "inference[0].triton.disruptionBudget"
REPLICAS = "inference[0].autoscaler.minReplicas"


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


class Fleet:
    """The smallest fleet of a stack, on as few nodes as hold it, and its disruption budget."""

    def __init__(self, kubelet: Kubelet, join: Join, settings: Settings) -> None:
        self.kubelet, self.client, self.join = kubelet, kubelet.client, join
        taint = {f"{GROUP}.taint": TAINT, "inference[0].namespace": kubelet.namespace}
        self.settings = with_overrides(settings, taint)
        (self.at,) = stacks(self.settings)

    @property
    def nodes(self) -> int:
        return self.settings.gpu_nodes.groups[0].max_unavailable

    @property
    def budget(self) -> int:
        return evictable(self.settings, self.at.stack)

    def add_nodes(self, name: str, zone: str = "local-a") -> list[str]:
        """Add as many nodes as an update drains at once."""
        pool = self.settings.gpu_nodes.pool
        size = pool.allocatable
        room = Resources(
            cpu=size.cpu,
            memory_gib=size.memory_gib,
            disk_gib=pool.allocatable_disk_gib,
            gpus=size.gpus,
        )
        names = [f"{name}-{index}" for index in range(self.nodes)]
        for each in names:
            self.join(each, room, zone, pool.node_labels)
        return names

    def start(self) -> None:
        """Start all replicas, and wait until the budget knows them."""
        stack, namespace = self.at.stack, self.kubelet.namespace
        account = {"metadata": {"name": stack.deployment_name}}
        self.client.create(ServiceAccount.from_dict(account), namespace=namespace)
        repository = model_repository.config_map("models", {"model/config.pbtxt": b""})
        spec = triton.deployment_spec(
            stack, self.settings.gpu_nodes.pool, repository, self.settings.prometheus
        )
        replicas = stack.autoscaler.min_replicas
        self.kubelet.deploy(stack.deployment_name, {**spec, "replicas": replicas})
        budget = triton.disruption_budget_spec(stack, self.budget)
        manifest = {"metadata": {"name": "triton"}, "spec": budget}
        self.client.create(PodDisruptionBudget.from_dict(manifest), namespace=namespace)
        for pod in self.kubelet.waiting(replicas):
            self.kubelet.report(pod)
        self.recovers()

    def recovers(self) -> None:
        """Wait until the budget counts every replica as ready."""

        def all_ready() -> bool:
            found = self.client.get(PodDisruptionBudget, "triton", namespace=self.kubelet.namespace)
            return found.status is not None and found.status.disruptionsAllowed == self.budget

        wait_until("the budget knows all replicas", all_ready)

    def cordon(self, nodes: list[str]) -> None:
        for node in nodes:
            self.client.patch(Node, node, {"spec": {"unschedulable": True}})

    def evict(self, pod: Any) -> bool:
        """Ask for an eviction; returns False if the budget refuses it."""
        metadata = {"metadata": {"name": pod.metadata.name}}
        eviction = PodEviction.from_dict(metadata)
        try:
            self.client.create(eviction, pod.metadata.name, namespace=self.kubelet.namespace)
        except ApiError as error:
            if error.status.code != HTTPStatus.TOO_MANY_REQUESTS:
                raise
            return False
        return True


@pytest.mark.parametrize(
    ("changed", "rounds"),
    [
        ({}, 2),
        ({BUDGET: None}, 4),
        ({BUDGET: 3}, 2),
        ({f"{GROUP}.maxUnavailable": 2, REPLICAS: 8, BUDGET: 3}, 3),
        ({f"{GROUP}.capacityType": "SPOT", BUDGET: None}, 1),
    ],
    ids=["prod", "one-at-a-time", "three-at-a-time", "two-nodes-at-once", "spot"],
)
def test_nodes_are_empty_after_as_many_rounds_of_evictions_as_the_check_counts(
    kubelet: Kubelet, join: Join, changed: dict[str, Any], rounds: int
) -> None:
    """Each round ends when its replicas are ready elsewhere: all that takes time but the last."""
    fleet = Fleet(kubelet, join, with_overrides(PROD, changed))
    old = fleet.add_nodes("old")
    fleet.start()
    replicas = len(kubelet.pods())
    assert replicas == len(old) * 4
    before = kubelet.present()
    fleet.add_nodes("new")
    fleet.cordon(old)
    counted = 0
    while left := [pod for node in old for pod in kubelet.pods(node)]:
        counted += 1
        evicted = [pod for pod in left if fleet.evict(pod)]
        assert len(evicted) == min(fleet.budget, len(left))
        successors = kubelet.waiting(len(evicted))
        # The evicted replicas are gone, and still no other one may go.
        for pod in evicted:
            kubelet.end(pod)
        assert not any(fleet.evict(pod) for pod in left if pod not in evicted)
        for pod in successors:
            kubelet.report(pod)
        fleet.recovers()
    assert counted == update_rounds(fleet.settings, fleet.at) == rounds
    assert kubelet.fewest_ready(before) == replicas - fleet.budget


def test_replicas_use_every_zone_while_nodes_have_room(kubelet: Kubelet, join: Join) -> None:
    """They share a node where there is no other: the tests above start four on one."""
    fleet = Fleet(kubelet, join, PROD)
    nodes = [name for zone in "abc" for name in fleet.add_nodes(zone, f"eu-central-1{zone}")]
    for node in nodes:
        wait_until(f"{node} takes pods", lambda node=node: takes_pods(fleet.client, node))
    fleet.start()
    assert {pod.spec.nodeName for pod in kubelet.pods()} == set(nodes)


def documented_drain() -> list[str]:
    """The command with which the documents drain a node group."""
    text = (PROJECT_FOLDER / "docs" / "eks.md").read_text()
    (command,) = re.findall(r"^ *kubectl (drain .*)$", text, re.MULTILINE)
    return command.split()


def test_the_documented_drain_waits_for_the_budget_and_empties_the_node_group(
    kubelet: Kubelet, join: Join, bare_cluster: Cluster, tmp_path: Path
) -> None:
    fleet = Fleet(kubelet, join, PROD)
    fleet.add_nodes("old")
    fleet.start()
    before = kubelet.present()
    said = tmp_path / "drain.txt"
    kubectl = toolchain.ensure("kubectl")["kubectl"]
    with said.open("wb") as output:
        drain = subprocess.Popen(
            [kubectl, "--kubeconfig", bare_cluster.kubeconfig, *documented_drain()],
            stdout=output,
            stderr=output,
        )
    try:
        wait_until("two replicas leave", lambda: len(kubelet.deleted()) == fleet.budget)
        wait_until(
            "the budget holds back the others",
            lambda: said.read_text().count("violate the pod's disruption budget") == 2,
        )
        fleet.add_nodes("new")
        for pod in kubelet.waiting(fleet.budget):
            kubelet.report(pod)
        for pod in kubelet.deleted():
            kubelet.end(pod)
        for pod in kubelet.waiting(fleet.budget):
            kubelet.report(pod)
        wait_until("the others leave", lambda: len(kubelet.deleted()) == fleet.budget)
        for pod in kubelet.deleted():
            kubelet.end(pod)
        assert drain.wait(60) == 0, said.read_text()
    finally:
        drain.kill()
        drain.wait()
    assert not kubelet.pods("old-0")
    assert kubelet.fewest_ready(before) == PROD.inference[0].autoscaler.min_replicas - 2
