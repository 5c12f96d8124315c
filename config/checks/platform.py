"""Checks that the cluster supports the parts that the parameters request."""

from collections.abc import Iterator
from typing import NamedTuple

from config.checks.stack_paths import stacks
from config.dns import CLUSTER_DOMAIN
from config.inventory import parts
from config.problem import Finding, number, refuse
from config.sections.gateway import SEPARATE_NODES, InternalLoadBalancer
from config.sections.gpu_nodes import as_existing
from config.sections.keda import HelmKeda
from config.sections.platform import KubeconfigPlatform, LocalPlatform
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from config.sizing.packing import Pods, Room, cpu_nodes_needed
from config.units import MIB_PER_GIB
from config.versions import KEDA_CHART_VERSION, MIN_KEDA

_FACTS = {"clusterName": "a cluster's name", "subnetIds": "subnets"}


@refuse
def eks_platform(settings: Settings) -> Iterator[Finding]:
    """Nodes that the stack creates on EKS need facts of the cluster."""
    platform, nodes = settings.platform, settings.gpu_nodes
    if not nodes.created:
        return
    keys: dict[str, object] = {"gpuNodes.kind": nodes.kind, "platform.kind": platform.kind}
    # By kind here and below: the check compares nodes and platform.
    if isinstance(platform, LocalPlatform):
        yield Finding(
            keys=keys,
            reason=f"the embedded cluster is not on EKS: it has no {nodes.noun}s",
            change={"gpuNodes": as_existing(nodes.pool)},
        )
    elif isinstance(platform, KubeconfigPlatform):
        facts = {"clusterName": platform.cluster_name, "subnetIds": list(platform.subnet_ids)}
        needed = {f"platform.{name}": facts[name] for name in nodes.needed_outputs}
        if not all(needed.values()):
            named = " and ".join(_FACTS[name] for name in nodes.needed_outputs)
            yield Finding(
                keys={**keys, **needed},
                reason=f"a {nodes.noun} needs {named}, which a kubeconfig does not have",
                fix=f"set {' and '.join(needed)}, or take it from the platform team's stack (kind: "
                "stackReference)",
            )


@refuse
def keda_version(settings: Settings) -> Iterator[Finding]:
    """The chart, which has KEDA's own version, installs a KEDA that supports the scaler."""
    keda = settings.keda
    # By kind: the version of an installed KEDA is not a parameter.
    if not isinstance(keda, HelmKeda):
        return
    major, minor = keda.chart_version.removeprefix("v").split(".")[:2]
    if (int(major), int(minor)) < MIN_KEDA:
        yield Finding(
            keys={"keda.kind": "helm", "keda.chartVersion": keda.chart_version},
            reason=(
                f"KEDA before {'.'.join(map(str, MIN_KEDA))} drops `fallback.behavior`: a fleet "
                "under load would shrink to its minimum whenever Prometheus does not answer"
            ),
            change={"keda.chartVersion": KEDA_CHART_VERSION},
        )


@refuse
def local_tier(settings: Settings) -> Iterator[Finding]:
    """The embedded cluster is not for production."""
    # By kind: the check compares tier and platform.
    if settings.tier == "prod" and isinstance(settings.platform, LocalPlatform):
        yield Finding(
            keys={"tier": "prod", "platform.kind": "local"},
            reason="the embedded cluster is for development: it ends with the machine",
            fix="name the cluster (platform.kind: kubeconfig or stackReference)",
            change={"tier": "dev"},
        )


@refuse
def cluster_domain(settings: Settings) -> Iterator[Finding]:
    """Names of Services end in the cluster's domain."""
    prometheus = settings.prometheus
    stated = {at.key("clusterDomain"): at.stack.cluster_domain for at in stacks(settings)}
    # By kind: the address of an existing Prometheus is stated as a whole.
    if isinstance(prometheus, ManagedPrometheus):
        stated["prometheus.clusterDomain"] = prometheus.cluster_domain
    wanted = settings.platform.cluster_domain or CLUSTER_DOMAIN
    wrong = {key: domain for key, domain in stated.items() if (domain or wanted) != wanted}
    if wrong:
        local = isinstance(settings.platform, LocalPlatform)
        where = {} if local else {"platform.clusterDomain": settings.platform.cluster_domain}
        yield Finding(
            keys={**wrong, **where},
            reason=f"the cluster's domain is {wanted}: no name in another domain resolves",
            change=dict.fromkeys(wrong),
        )


@refuse
def load_balancer(settings: Settings) -> Iterator[Finding]:
    """The cluster can create the load balancer."""
    for at in stacks(settings):
        exposure = at.stack.gateway.exposure
        # By kind: the check compares exposure and platform.
        local = isinstance(settings.platform, LocalPlatform)
        if local and isinstance(exposure, InternalLoadBalancer):
            yield Finding(
                keys={at.key("gateway.exposure.kind"): exposure.kind, "platform.kind": "local"},
                reason="the embedded cluster creates no load balancers: `up` would wait for one",
                change={at.key("gateway.exposure"): {"kind": "cluster"}},
            )


@refuse
def gateway_nodes(settings: Settings) -> Iterator[Finding]:
    """The embedded cluster has two CPU nodes for gateways that share none."""
    platform = settings.platform
    # By kind: the parameters define the nodes of this cluster alone.
    if not isinstance(platform, LocalPlatform) or platform.cpu_nodes >= SEPARATE_NODES:
        return
    for at in stacks(settings):
        gateway, key = at.stack.gateway, at.key("gateway.separateNodes")
        if gateway.replicas > 1 and gateway.on_separate_nodes(settings.tier):
            yield Finding(
                keys={key: gateway.separate_nodes, "platform.cpuNodes": platform.cpu_nodes},
                reason=(
                    f"gateways that share no node need {SEPARATE_NODES} CPU nodes: the second "
                    "gateway would never be scheduled"
                ),
                change={"platform.cpuNodes": SEPARATE_NODES},
            )


class _Workload(NamedTuple):
    name: str
    key: str
    pods: Pods

    @property
    def keys(self) -> dict[str, object]:
        pod = self.pods.each
        return {f"{self.key}.cpu": pod.cpu, f"{self.key}.memoryMib": pod.memory_mib}


@refuse
def local_nodes(settings: Settings) -> Iterator[Finding]:
    """The embedded cluster's CPU nodes hold all pods that run on them."""
    platform = settings.platform
    # By kind: the parameters define the nodes of this cluster alone.
    if not isinstance(platform, LocalPlatform):
        return
    node = Room(
        platform.cpu_node_cpu,
        platform.cpu_node_memory_gib * MIB_PER_GIB,
        platform.cpu_node_disk_gib * MIB_PER_GIB,
    )
    size: dict[str, object] = {
        "platform.cpuNodeCpu": platform.cpu_node_cpu,
        "platform.cpuNodeMemoryGib": platform.cpu_node_memory_gib,
        "platform.cpuNodeDiskGib": platform.cpu_node_disk_gib,
    }
    workloads = [
        _Workload(part.title, part.key, part.cpu_pods) for part in parts(settings) if part.cpu_pods
    ]
    large = [workload for workload in workloads if not node.holds(workload.pods.each)]
    for workload in large:
        yield Finding(
            keys={**workload.keys, **size},
            reason=(
                f"{workload.name} does not fit on a CPU node: it requests "
                f"{_spelled(workload.pods.each)} of {_spelled(node)}"
            ),
            fix="choose larger CPU nodes, or a smaller request",
        )
    if large:
        return
    needed = cpu_nodes_needed((workload.pods for workload in workloads), node)
    if needed > platform.cpu_nodes:
        total = Room(
            cpu=sum(pods.replicas * pods.each.cpu for _, _, pods in workloads),
            memory_mib=sum(pods.replicas * pods.each.memory_mib for _, _, pods in workloads),
            disk_mib=sum(pods.replicas * pods.each.disk_mib for _, _, pods in workloads),
        )
        asked: dict[str, object] = {}
        for workload in workloads:
            asked |= workload.keys
        yield Finding(
            keys={"platform.cpuNodes": platform.cpu_nodes, **size, **asked},
            reason=(
                f"gateways (with one more each during a rollout), Prometheus and replicas without "
                f"GPUs need {_spelled(total)}; as no pod can span nodes, that is {needed} CPU nodes"
            ),
            change={"platform.cpuNodes": needed},
        )


def _spelled(room: Room) -> str:
    memory, disk = (number(mib / MIB_PER_GIB) for mib in (room.memory_mib, room.disk_mib))
    return f"{number(room.cpu)} vCPUs, {memory} GiB and {disk} GiB of disk"
