"""One declared stack in a cluster with neighbours, for the tests of its NetworkPolicies."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.monitoring.component import Prometheus, PrometheusArgs
from components.network.component import NetworkPolicies, NetworkPoliciesArgs
from components.network.namespaces import Namespaces, NamespacesArgs
from components.triton.component import Triton, TritonArgs
from components.triton.eks_cluster import EksCluster
from config.inventory import parts
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from tests.policy_semantics import End, World
from tests.recording import declare

CLIENTS = "clients"
S3 = {"kind": "s3", "uri": "s3://models", "roleArn": "arn:aws:iam::1:role/r"}
EXISTING = {"kind": "existing", "address": "http://p.m:9090", "namespace": "monitoring"}

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


def cluster(**how: Any) -> Cluster:
    """Return one declared inference stack, with other workloads in the namespaces beside it.

    Args:
        how: `prometheus`, `keda`, `dns_addresses`, and keys of the inference stack. Equal
            arguments give the same object.
    """
    return _declared(json.dumps(how, sort_keys=True))


@cache
def _declared(how: str) -> Cluster:
    stack: dict[str, Any] = json.loads(how)
    prometheus, keda = stack.pop("prometheus", None), stack.pop("keda", {"kind": "existing"})
    dns_addresses = tuple(stack.pop("dns_addresses", ()))
    stack.setdefault("gateway", {"clientNamespaces": [CLIENTS]})
    settings = Settings.model_validate(
        {"inference": [stack], "prometheus": prometheus or {"kind": "managed"}, "keda": keda}
    )
    (config,) = settings.inference

    def program() -> None:
        Namespaces("namespaces", NamespacesArgs(parts=parts(settings)))
        Triton(
            "triton",
            TritonArgs(
                config=config,
                nodes=settings.gpu_nodes.pool,
                prometheus=settings.prometheus,
                eks=EksCluster(name="eks"),
            ),
        )
        EnvoyGateway("gateway", EnvoyGatewayArgs(config=config, prometheus=settings.prometheus))
        NetworkPolicies(
            "network",
            NetworkPoliciesArgs(
                config=config, prometheus=settings.prometheus, dns_addresses=dns_addresses
            ),
        )
        if isinstance(settings.prometheus, ManagedPrometheus):
            args = PrometheusArgs(
                config=settings.prometheus, stacks=settings.inference, keda=settings.keda
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
