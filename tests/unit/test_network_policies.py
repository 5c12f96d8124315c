"""Every flow that the stack needs passes the declared policies, and others do not.

Judged by what is declared: the pods' labels and ports are those of the Deployments. It does not
prove that a cluster's CNI enforces policies at all, or that a pod listens where it is probed: that
is for the tests with real processes.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from components.envoy_gateway import EnvoyGateway, EnvoyGatewayArgs
from components.namespaces import Namespaces, NamespacesArgs
from components.network_policies import NetworkPolicies, NetworkPoliciesArgs
from components.prometheus import Prometheus, PrometheusArgs
from components.triton import Triton, TritonArgs
from config.prometheus import ManagedPrometheus
from config.settings import Settings
from tests.policy_semantics import End, World

CLIENTS = "clients"
S3 = {"kind": "s3", "uri": "s3://models", "roleArn": "arn:aws:iam::1:role/r"}
EXISTING = {"kind": "existing", "address": "http://p:9090", "namespace": "monitoring"}

S3_ADDRESS = End("52.218.0.1")
POD_IDENTITY_AGENT = End("169.254.170.23")
INSTANCE_METADATA = End("169.254.169.254")
API_SERVER = End("10.0.0.10")
LOAD_BALANCER = End("10.1.2.3")
NODE = End("10.0.1.1", node="node-1")
OTHER_NODE = End("10.0.1.2", node="node-2")

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass
class Cluster:
    """A declared stack in a cluster with neighbours."""

    world: World
    gateway: End
    triton: End
    ports: dict[str, dict[str, int]]
    prometheus: End | None
    probed: dict[str, list[int | str]]
    """Where kubelet knocks, for each role: a port, or the name of one."""

    def allows(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        return self.world.allows(source, target, port, protocol)


def pod(namespace: str, **labels: str) -> End:
    return End("10.0.200.1", namespace, labels)


DNS = pod("kube-system", **{"k8s-app": "kube-dns"})
KEDA = pod("keda", app="keda-operator")
CLIENT = pod(CLIENTS, app="client")
NEIGHBOUR = pod("ai-namespace", app="client")
STRANGER = pod("default", app="stranger")
OTHER_PROMETHEUS = pod("monitoring", app="prometheus")


@pytest.fixture
def cluster(declare):
    def of(prometheus: dict[str, Any] | None = None, **stack: Any) -> Cluster:
        stack.setdefault("gateway", {"clientNamespaces": [CLIENTS]})
        settings = Settings.model_validate(
            {"inference": [stack], "prometheus": prometheus or {"kind": "managed"}}
        )
        (config,) = settings.inference

        def program() -> None:
            Namespaces("namespaces", NamespacesArgs(config=settings))
            Triton(
                "triton",
                TritonArgs(config=config, nodes=settings.gpu_nodes, cluster_name="eks"),
            )
            EnvoyGateway("gateway", EnvoyGatewayArgs(config=config))
            NetworkPolicies(
                "network", NetworkPoliciesArgs(config=config, prometheus=settings.prometheus)
            )
            if isinstance(settings.prometheus, ManagedPrometheus):
                args = PrometheusArgs(
                    config=settings.prometheus, stacks=settings.inference, keda_namespace="keda"
                )
                Prometheus("prometheus", args)

        declared = declare(program)
        ends, ports, probed = {}, {}, {}
        for index, deployment in enumerate(declared.all("apps/v1:Deployment")):
            inputs = deployment.inputs
            template = inputs["spec"]["template"]
            role = deployment.name.partition("-")[0]
            ends[role] = End(
                f"10.0.100.{index}",
                inputs["metadata"]["namespace"],
                template["metadata"]["labels"],
                NODE.node,
            )
            ports[role] = {
                port["name"]: port["containerPort"]
                for container in template["spec"]["containers"]
                for port in container["ports"]
            }
            probed[role] = [
                container[probe]["httpGet"]["port"]
                for container in template["spec"]["containers"]
                for probe in PROBES
                if probe in container
            ]
        names = {CLIENTS, "default", "kube-system", "keda", "monitoring"}
        names |= {end.namespace for end in ends.values()}
        return Cluster(
            world=World(
                policies=[r.inputs for r in declared.all("networking.k8s.io/v1:NetworkPolicy")],
                # Labelled by the API server, as it does for every namespace.
                namespaces={name: {"kubernetes.io/metadata.name": name} for name in names},
            ),
            gateway=ends["gateway"],
            triton=ends["triton"],
            ports=ports,
            prometheus=ends.get("prometheus"),
            probed=probed,
        )

    return of


# What must work


@pytest.mark.parametrize("client", [CLIENT, NEIGHBOUR], ids=["named namespace", "own namespace"])
def test_clients_reach_the_gateway_and_dns(cluster, client):
    c = cluster()
    assert c.allows(client, c.gateway, 8080)
    assert c.allows(client, DNS, 53, "UDP")


def test_gateway_reaches_triton_on_its_own_grpc_port_and_dns(cluster):
    c = cluster()
    assert c.allows(c.gateway, c.triton, c.ports["triton"]["grpc"])
    for protocol in ("UDP", "TCP"):
        assert c.allows(c.gateway, DNS, 53, protocol)


def test_our_prometheus_scrapes_discovers_and_answers_keda(cluster):
    c = cluster()
    assert c.allows(c.prometheus, c.gateway, c.ports["gateway"]["ops"])
    assert c.allows(c.prometheus, c.triton, c.ports["triton"]["metrics"])
    assert c.allows(c.prometheus, API_SERVER, 443)
    assert c.allows(c.prometheus, API_SERVER, 6443)
    assert c.allows(KEDA, c.prometheus, c.ports["prometheus"]["http"])


def test_an_existing_prometheus_scrapes(cluster):
    c = cluster(prometheus=EXISTING)
    assert c.allows(OTHER_PROMETHEUS, c.gateway, c.ports["gateway"]["ops"])
    assert c.allows(OTHER_PROMETHEUS, c.triton, c.ports["triton"]["metrics"])


def test_flows_follow_changed_ports(cluster):
    gateway = {"port": 8443, "opsPort": 9999, "clientNamespaces": [CLIENTS]}
    c = cluster(gateway=gateway, triton={"grpcPort": 9001, "metricsPort": 9003})
    assert c.allows(CLIENT, c.gateway, 8443)
    assert c.allows(c.gateway, c.triton, 9001)
    assert c.allows(c.prometheus, c.gateway, 9999)
    assert c.allows(c.prometheus, c.triton, 9003)
    assert not c.allows(c.gateway, c.triton, 8001)


@pytest.mark.parametrize(
    "stack",
    [
        {},
        {"gateway": {"opsPort": 9999}, "triton": {"httpPort": 9005}},
        {"triton": {"modelRepository": S3}},
    ],
    ids=["as they are", "other ports", "models in S3"],
)
def test_kubelet_reaches_every_probe_from_the_pods_own_node_and_no_other_node_does(cluster, stack):
    """Each probe knocks at a port that its pod declares; a port that is misnamed fails here."""
    c = cluster(**stack)
    pods = {"gateway": c.gateway, "triton": c.triton, "prometheus": c.prometheus}
    assert c.probed.keys() == pods.keys()
    for role, pod in pods.items():
        assert len(c.probed[role]) >= 2, role
        for probed in c.probed[role]:
            port = c.ports[role][probed] if isinstance(probed, str) else probed
            assert port in c.ports[role].values(), (role, probed)
            assert c.allows(NODE, pod, port), (role, port)
            assert not c.allows(OTHER_NODE, pod, port), (role, port)


def test_models_in_s3_can_be_read_with_the_pods_identity(cluster):
    c = cluster(triton={"modelRepository": S3})
    assert c.allows(c.triton, DNS, 53, "UDP")
    assert c.allows(c.triton, S3_ADDRESS, 443)
    assert c.allows(c.triton, POD_IDENTITY_AGENT, 80)


def test_an_internal_load_balancer_lets_its_ranges_in(cluster):
    exposure = {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.1.0.0/16"],
        "subnetCidrs": ["10.3.0.0/24"],
    }
    c = cluster(gateway={"exposure": exposure})
    assert c.allows(LOAD_BALANCER, c.gateway, 8080)
    assert not c.allows(LOAD_BALANCER, c.gateway, 9902)
    assert not c.allows(End("10.2.0.1"), c.gateway, 8080)
    # The balancer's own health checks, of readiness alone.
    assert c.allows(End("10.3.0.9"), c.gateway, 9902)
    assert not c.allows(End("10.3.0.9"), c.gateway, 8080)


# What must not


def test_nobody_reaches_triton_past_the_gateway(cluster):
    c = cluster()
    for port in (8000, 8001, 8002):
        for end in (CLIENT, NEIGHBOUR, STRANGER, KEDA, LOAD_BALANCER):
            assert not c.allows(end, c.triton, port), (end, port)
    assert not c.allows(c.gateway, c.triton, 8000)
    assert not c.allows(c.prometheus, c.triton, 8001)


def test_triton_reaches_nothing_where_it_has_its_models(cluster):
    c = cluster()
    for end in (S3_ADDRESS, POD_IDENTITY_AGENT, INSTANCE_METADATA, API_SERVER):
        for port in (80, 443, 6443):
            assert not c.allows(c.triton, end, port), (end, port)
    assert not c.allows(c.triton, DNS, 53, "UDP")
    assert not c.allows(c.triton, c.gateway, 8080)
    assert not c.allows(c.triton, c.triton, 8001)


def test_nobody_reaches_the_nodes_own_role(cluster):
    c = cluster(triton={"modelRepository": S3})
    for source in (c.triton, c.gateway, c.prometheus):
        for port in (80, 443):
            assert not c.allows(source, INSTANCE_METADATA, port), (source, port)


def test_an_irsa_pod_has_no_use_for_the_pod_identity_agent(cluster):
    c = cluster(triton={"modelRepository": {**S3, "identity": "irsa"}})
    assert c.allows(c.triton, S3_ADDRESS, 443)
    assert not c.allows(c.triton, POD_IDENTITY_AGENT, 80)


def test_nobody_reaches_the_gateways_admin_port(cluster):
    c = cluster()
    assert "admin" not in c.ports["gateway"]
    for end in (CLIENT, NEIGHBOUR, STRANGER, KEDA, c.prometheus, c.triton, OTHER_PROMETHEUS):
        assert not c.allows(end, c.gateway, 9901), end


def test_a_namespace_that_is_not_named_may_not_call(cluster):
    c = cluster()
    assert not c.allows(STRANGER, c.gateway, 8080)
    assert not c.allows(STRANGER, c.prometheus, 9090)
    assert not cluster(gateway={}).allows(CLIENT, c.gateway, 8080)


def test_clients_may_not_read_the_statistics(cluster):
    c = cluster()
    for end in (CLIENT, NEIGHBOUR):
        assert not c.allows(end, c.gateway, 9902), end
        assert not c.allows(end, c.prometheus, 9090), end


def test_gateway_reaches_neither_the_internet_nor_the_api_server(cluster):
    c = cluster()
    for end in (S3_ADDRESS, API_SERVER):
        for port in (80, 443, 6443):
            assert not c.allows(c.gateway, end, port), (end, port)


def test_pods_that_only_claim_to_be_prometheus_elsewhere_may_not_scrape(cluster):
    c = cluster()
    impostor = End("10.0.200.9", "default", c.prometheus.labels)
    assert not c.allows(impostor, c.gateway, 9902)


def test_two_stacks_in_one_namespace_do_not_reach_each_other(cluster):
    """The policies of one name the pods of one."""
    one, two = cluster(namePrefix="a-"), cluster(namePrefix="b-")
    both = World([*one.world.policies, *two.world.policies], one.world.namespaces)
    assert both.allows(one.gateway, one.triton, 8001)
    assert not both.allows(one.gateway, two.triton, 8001)
    assert not both.allows(one.gateway, two.gateway, 8080)


# The judge itself


@pytest.mark.parametrize(
    ("taken", "flow"),
    [
        ("envoy-gateway", lambda c: (CLIENT, c.gateway, 8080)),
        ("triton-inference-deployment", lambda c: (c.gateway, c.triton, 8001)),
        ("prometheus-server", lambda c: (c.prometheus, c.triton, 8002)),
        ("envoy-gateway-callers", lambda c: (NEIGHBOUR, c.gateway, 8080)),
    ],
)
def test_without_its_policy_a_flow_is_denied(cluster, taken, flow):
    c = cluster()
    rest = [p for p in c.world.policies if p["metadata"]["name"] != taken]
    assert len(rest) == len(c.world.policies) - 1
    assert c.allows(*flow(c))
    assert not World(rest, c.world.namespaces).allows(*flow(c))


def test_without_the_default_deny_everything_is_allowed(cluster):
    c = cluster()
    assert World([], c.world.namespaces).allows(STRANGER, c.triton, 8001)
