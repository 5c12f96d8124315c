"""One stack: GPU nodes, Triton behind an Envoy gateway, Prometheus and KEDA.

Before the program declares anything, it checks the parameters, lets Envoy validate its
configuration, and runs preflight on the cluster. Each component's docstring names the objects that
the component owns.
"""

import gc

from pulumi import Resource, ResourceOptions

from components.cluster.component import connect
from components.exports import export_outputs
from components.gateway.check import check_gateways
from components.gpus.device_plugin import DevicePlugin, DevicePluginArgs
from components.inference import Inference, InferenceArgs
from components.monitoring.component import PodMonitors, PodMonitorsArgs, Prometheus, PrometheusArgs
from components.network.namespaces import Namespaces, NamespacesArgs
from components.rollout.component import Rollout, await_rollouts
from components.state.engine import is_applied
from config.flows import by_namespace
from config.inventory import parts, shared_flows
from config.load import load
from config.sections.karpenter import Karpenter
from config.sections.keda import HelmKeda
from config.sections.prometheus import ManagedPrometheus
from config.sizing.packing import evictable
from config.sizing.rollout import longest_loading_seconds

if is_applied():
    # The imports' objects live to the end. Otherwise the garbage collector visits all of them again
    # when the program ends, which takes a fifth of the time of the imports.
    gc.freeze()

settings = load()
check_gateways(settings)
cluster = connect(settings)


def after(*needed: Resource) -> ResourceOptions:
    """Return options for an object that is created after others and deleted before them."""
    return ResourceOptions(providers=[cluster.provider], depends_on=list(needed))


# The engine deletes no namespace, no volume, no node group and no Service of callers in prod.
protect = settings.tier == "prod"

# The conditions below repeat the inventory's: they give each component its typed arguments.
namespaces = Namespaces(
    "namespaces", NamespacesArgs(parts=parts(settings), protect=protect), after()
)
flows = shared_flows(settings)

# GPU nodes, and the device plugin that advertises their GPUs.
gpus: list[Resource] = []
for group, at in settings.gpu_nodes.groups_at:
    # Imported here: a stack without AWS need not pay for pulumi_aws (1.5 s, 60 MB).
    from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs

    nodes = GpuNodeGroupArgs(
        config=group,
        gpus_per_node=settings.gpus_of(group),
        gpu_resource=settings.gpu_sharing.resource,
        sharing=settings.gpu_sharing,
        cluster_name=cluster.eks.name,
        subnet_ids=cluster.subnet_ids,
        path=at.path,
    )
    protected = ResourceOptions(
        depends_on=[cluster.provider], protect=protect and not group.retiring
    )
    gpus.append(GpuNodeGroup(group.name, nodes, protected))
# By kind: Karpenter's pools are objects of the cluster, and not resources of AWS.
if isinstance(settings.gpu_nodes, Karpenter):
    from components.gpus.node_pool import GpuNodePool, GpuNodePoolArgs

    for pool in settings.gpu_nodes.node_pools:
        started = GpuNodePoolArgs(
            nodes=settings.gpu_nodes,
            config=pool,
            loading_seconds=longest_loading_seconds(settings.inference),
            cluster_name=cluster.eks.name,
        )
        kept = ResourceOptions(protect=protect and not pool.retiring)
        gpus.append(GpuNodePool(pool.name, started, ResourceOptions.merge(after(), kept)))
if settings.device_plugin_enabled:
    plugin = DevicePluginArgs(
        config=settings.device_plugin,
        nodes=settings.gpu_nodes.pool,
        sharing=settings.gpu_sharing,
    )
    # Nothing depends on it: a pod that requests a GPU is pending until a node advertises one.
    DevicePlugin("device-plugin", plugin, after(namespaces, *gpus))

# Monitoring.
rollouts: list[Rollout] = []
# By kind: the program declares a Prometheus, or the PodMonitors for one that exists.
if isinstance(settings.prometheus, ManagedPrometheus):
    watch = PrometheusArgs(
        config=settings.prometheus,
        stacks=settings.inference,
        keda=settings.keda,
        dns_addresses=cluster.dns_addresses,
        flows=flows,
        api=cluster.api,
        protect=protect,
    )
    prometheus = Prometheus("prometheus", watch, after(namespaces))
    rollouts.append(prometheus.rollout)
else:
    monitors = PodMonitorsArgs(config=settings.prometheus, stacks=settings.inference)
    PodMonitors("pod-monitors", monitors, after(namespaces))

# Scaling.
scaling: list[Resource] = []
# By kind: the program declares KEDA's release, or nothing.
if isinstance(settings.keda, HelmKeda):
    # Imported here: Helm's resources also import YAML's and an HTTP client (0.2 s).
    from components.autoscaler.keda import KedaRelease, KedaReleaseArgs

    release = KedaReleaseArgs(config=settings.keda)
    scaling.append(KedaRelease("keda", release, after(namespaces)))

# Serving.
near = by_namespace(flows)
stacks = [
    Inference(
        f"{stack.name_prefix}inference",
        InferenceArgs(
            config=stack,
            nodes=settings.gpu_nodes.pool,
            prometheus=settings.prometheus,
            sharing=settings.gpu_sharing,
            evictable=evictable(settings, stack),
            flows=near.get(stack.namespace, ()),
            tier=settings.tier,
            scaling=scaling,
            api=cluster.api,
            dns_addresses=cluster.dns_addresses,
            eks=cluster.eks,
            protect=protect,
        ),
        after(*namespaces.of(stack.namespace), *gpus),
    )
    for stack in settings.inference
]

export_outputs(settings, stacks)
cluster.open()
await_rollouts(cluster.api, [*rollouts, *(one for stack in stacks for one in stack.rollouts)])
