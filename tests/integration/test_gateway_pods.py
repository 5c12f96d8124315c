"""Rollout and placement of prod's gateways, by a real API server, its controllers and scheduler.

A policy injects readiness gates, as the webhook of the AWS Load Balancer Controller does, and the
test reports what kubelet and that controller would. Not proved here: that the balancer sends no
connection to a gateway which is not ready, and the drain itself (tests/envoy/test_drain.py).
"""

from collections.abc import Iterator

import pytest
from lightkube import Client
from lightkube.resources.admissionregistration_v1 import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
)
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Node, Pod, Service, ServiceAccount
from lightkube.resources.discovery_v1 import EndpointSlice

from components.gateway import workload
from config.base import PROJECT_FOLDER
from config.inventory import parts
from config.load import parse, read_stack_file
from config.schema.overrides import with_overrides
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from local_cluster.spec import Resources
from tests.envoy.harness.waiting import wait_until
from tests.integration.pods import pod as a_pod
from tests.integration.standin_kubelet import (
    PLACED,
    Join,
    Kubelet,
    takes_pods,
    unschedulable,
)

PROD = parse(read_stack_file(PROJECT_FOLDER / "Pulumi.prod.yaml"))
ROOM = Resources(cpu=8, memory_gib=16, disk_gib=20)
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

# The label and the gate's name: AWS Load Balancer Controller, docs/deploy/pod_readiness_gate.md.
GATE = "target-health.elbv2.k8s.aws/k8s-gateway-0123456789"
INJECTED = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
POLICY = {
    "metadata": {"name": "injects-readiness-gates"},
    "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": INJECTED},
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                }
            ],
        },
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "JSONPatch",
                "jsonPatch": {
                    # One patch for each level: the API server panics on a list that holds objects.
                    "expression": '[JSONPatch{op: "add", path: "/spec/readinessGates", value: []}, '
                    'JSONPatch{op: "add", path: "/spec/readinessGates/-", value: '
                    f'Object.spec.readinessGates{{conditionType: "{GATE}"}}}}]'
                },
            }
        ],
    },
}
BINDING = {
    "metadata": {"name": "injects-readiness-gates"},
    "spec": {"policyName": "injects-readiness-gates"},
}


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


@pytest.fixture
def settings(namespace: str) -> Settings:
    """Prod as shipped, but for its namespace and the nodes of its gateways."""
    return with_overrides(
        PROD, {"inference[0].namespace": namespace, "inference[0].gateway.pods": PLACED}
    )


@pytest.fixture
def balanced(client: Client, settings: Settings, namespace: str) -> Iterator[None]:
    """The namespace as `up` labels it, in a cluster with the controller's webhook."""
    labels = {
        key: value
        for part in parts(settings)
        if part.namespace == namespace
        for key, value in part.namespace_labels.items()
    }
    client.patch(Namespace, namespace, {"metadata": {"labels": labels}})
    account = {"metadata": {"name": "probe"}}
    client.create(ServiceAccount.from_dict(account), namespace=namespace)
    probe = Pod.from_dict(a_pod("probe", serviceAccountName="probe"))

    def injects() -> bool:
        made = client.create(probe, namespace=namespace, dry_run=True)
        return bool(made.spec.readinessGates)

    client.create(MutatingAdmissionPolicy.from_dict(POLICY))
    client.create(MutatingAdmissionPolicyBinding.from_dict(BINDING))
    try:
        wait_until("the policy injects readiness gates", injects)
        yield
    finally:
        client.delete(MutatingAdmissionPolicyBinding, BINDING["metadata"]["name"])
        client.delete(MutatingAdmissionPolicy, POLICY["metadata"]["name"])


class Gateways:
    """Prod's gateways."""

    def __init__(self, kubelet: Kubelet, settings: Settings) -> None:
        self.kubelet, self.client = kubelet, kubelet.client
        (self.stack,) = settings.inference
        files = workload.config_files(self.stack)
        separate = self.stack.gateway.on_separate_nodes(settings.tier)
        self.spec = workload.deployment_spec(
            self.stack, files, settings.prometheus, separate_nodes=separate
        )

    def start(self) -> None:
        """Create the account, the Service and the Deployment."""
        name, namespace = self.stack.gateway_name, self.kubelet.namespace
        account = {"metadata": {"name": name}}
        self.client.create(ServiceAccount.from_dict(account), namespace=namespace)
        service = {**workload.service_spec(self.stack), "type": "ClusterIP"}
        for key in (
            "loadBalancerClass",
            "loadBalancerSourceRanges",
            "allocateLoadBalancerNodePorts",
        ):
            service.pop(key)
        manifest = {"metadata": {"name": name}, "spec": service}
        self.client.create(Service.from_dict(manifest), namespace=namespace)
        self.kubelet.deploy(name, self.spec)

    def roll(self) -> None:
        """Change the pods, as every change of the gateway's configuration does."""
        template = {"metadata": {"annotations": {"example.com/changed": "true"}}}
        change = {"spec": {"template": template}}
        self.client.patch(
            Deployment, self.stack.gateway_name, change, namespace=self.kubelet.namespace
        )

    def addresses(self) -> set[str]:
        """Return the addresses to which the Service leads."""
        return {
            address
            for found in self.client.list(EndpointSlice, namespace=self.kubelet.namespace)
            for endpoint in found.endpoints or []
            if endpoint.conditions.ready
            for address in endpoint.addresses
        }

    def leads(self, *, to: str, not_to: str) -> None:
        """Wait until the Service leads to one gateway, and not to another one."""

        def done() -> bool:
            led = self.addresses()
            return to in led and not_to not in led

        wait_until(f"connections go to {to}, and none to {not_to}", done)

    def places(self) -> list[str]:
        """Return the nodes of all gateways, empty names for those without one."""
        return sorted(pod.spec.nodeName or "" for pod in self.kubelet.pods())


@pytest.mark.usefixtures("balanced")
def test_a_rollout_takes_no_gateway_before_the_balancer_finds_its_successor_healthy(
    kubelet: Kubelet, join: Join, settings: Settings
) -> None:
    for zone in ZONES:
        join(f"gateways-{zone}", ROOM, zone)
    gateways = Gateways(kubelet, settings)
    gateways.start()
    replicas = gateways.stack.gateway.replicas
    for pod in kubelet.waiting(replicas):
        running = kubelet.report(pod)
        assert not holds(running, "Ready")
        assert holds(kubelet.report(running, [GATE]), "Ready")
    wait_until("all gateways serve", lambda: len(gateways.addresses()) == replicas)
    before = kubelet.present()
    gateways.roll()
    for _ in range(replicas):
        (successor,) = kubelet.waiting(1)
        running = kubelet.report(successor)
        # Its containers are ready, and for the Deployment it still is not.
        assert holds(running, "ContainersReady")
        assert not holds(running, "Ready")
        assert not kubelet.deleted()
        healthy = kubelet.report(running, [GATE])
        (leaving,) = wait_until("a former gateway leaves", kubelet.deleted)
        assert leaving.metadata.name in before.ready
        # It has its whole time to drain, and gets no new connections from now on.
        assert leaving.metadata.deletionGracePeriodSeconds == gateways.stack.gateway_grace_seconds
        gateways.leads(to=healthy.status.podIP, not_to=leaving.status.podIP)
        kubelet.end(leaving)
    assert not before.ready & {pod.metadata.name for pod in kubelet.pods()}
    assert kubelet.fewest_ready(before) == replicas


def test_gateways_have_nodes_and_zones_of_their_own_and_share_two_nodes_at_need(
    kubelet: Kubelet, join: Join, settings: Settings, client: Client
) -> None:
    nodes = [f"spread-{zone}" for zone in ZONES]
    gateways = Gateways(kubelet, settings)
    join(nodes[0], ROOM, ZONES[0])
    gateways.start()
    wait_until(
        "one gateway has the only node, and the others wait",
        lambda: gateways.places() == ["", "", nodes[0]] and unschedulable(kubelet.pods()) == 2,
    )
    join(nodes[1], ROOM, ZONES[1])
    wait_until("each node has one at least", lambda: set(gateways.places()) == set(nodes[:2]))
    for pod in kubelet.waiting(3):
        kubelet.report(pod)
    join(nodes[2], ROOM, ZONES[2])
    wait_until("the third node takes pods", lambda: takes_pods(client, nodes[2]))
    gateways.roll()
    for _ in range(3):
        (successor,) = kubelet.waiting(1)
        kubelet.report(successor)
        (leaving,) = wait_until("a former gateway leaves", kubelet.deleted)
        kubelet.end(leaving)
    assert gateways.places() == nodes
    # A drain of one node: its gateway finds a place beside another one, though not before.
    client.patch(Node, nodes[0], {"spec": {"unschedulable": True}})
    (drained,) = kubelet.pods(nodes[0])
    client.delete(Pod, drained.metadata.name, namespace=kubelet.namespace)
    (successor,) = kubelet.waiting(1)
    assert successor.spec.nodeName in nodes[1:]
