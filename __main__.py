"""GPU nodes, Triton behind an Envoy gateway, Prometheus to watch and KEDA to scale: one stack.

Parameters are checked, Envoy reads its own configuration and the cluster is looked at before
anything is declared. Each component's docstring says what it owns and what it leaves to others.
"""

from pulumi import Resource, ResourceOptions

from components.cluster.component import connect
from components.exports import export_outputs
from components.gateway.check import check_gateways
from components.gpus.device_plugin import DevicePlugin, DevicePluginArgs
from components.inference import Inference, InferenceArgs
from components.monitoring.component import PodMonitors, PodMonitorsArgs, Prometheus, PrometheusArgs
from components.network.namespaces import Namespaces, NamespacesArgs
from components.rollout.component import Rollout, await_rollouts
from config.inventory import parts, shared_flows
from config.load import load
from config.sections.keda import HelmKeda
from config.sections.prometheus import ManagedPrometheus

settings = load()
check_gateways(settings)
cluster = connect(settings)


def after(*needed: Resource) -> ResourceOptions:
    """On the cluster, after what is needed; and gone before it."""
    return ResourceOptions(providers=[cluster.provider], depends_on=list(needed))


# The conditions below repeat the inventory's: they give each component its typed arguments.
namespaces = Namespaces("namespaces", NamespacesArgs(parts=parts(settings)), after())
flows = shared_flows(settings)

# GPU nodes, and what makes their GPUs known.
gpus: list[Resource] = []
for group in settings.gpu_nodes.groups:
    # Imported here: a stack without AWS need not pay for pulumi_aws (1.5 s, 60 MB).
    from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs

    nodes = GpuNodeGroupArgs(
        config=group,
        gpus_per_node=settings.gpus_per_node,
        cluster_name=cluster.name,
        subnet_ids=cluster.subnet_ids,
    )
    protected = ResourceOptions(depends_on=[cluster.provider], protect=settings.tier == "prod")
    gpus.append(GpuNodeGroup("gpu", nodes, protected))
if settings.device_plugin_enabled:
    plugin = DevicePluginArgs(config=settings.device_plugin, nodes=settings.gpu_nodes.pool)
    # Nothing waits for it: a pod that wants a GPU waits by itself until one is made known.
    DevicePlugin("device-plugin", plugin, after(namespaces, *gpus))

# What watches.
rollouts: list[Rollout] = []
if isinstance(settings.prometheus, ManagedPrometheus):
    watch = PrometheusArgs(
        config=settings.prometheus,
        stacks=settings.inference,
        keda_namespace=settings.keda.namespace,
        flows=flows,
        api=cluster.api,
    )
    prometheus = Prometheus("prometheus", watch, after(namespaces))
    rollouts.append(prometheus.rollout)
else:
    monitors = PodMonitorsArgs(config=settings.prometheus, stacks=settings.inference)
    PodMonitors("pod-monitors", monitors, after(namespaces))

# What scales.
scaling: list[Resource] = []
if isinstance(settings.keda, HelmKeda):
    # Imported here: Helm's resources bring YAML's and an HTTP client along (0.2 s).
    from components.autoscaler.keda import KedaRelease, KedaReleaseArgs

    release = KedaReleaseArgs(config=settings.keda)
    scaling.append(KedaRelease("keda", release, after(namespaces)))

# What serves.
stacks = [
    Inference(
        f"{stack.name_prefix}inference",
        InferenceArgs(
            config=stack,
            nodes=settings.gpu_nodes.pool,
            prometheus=settings.prometheus,
            flows=flows,
            scaling=scaling,
            api=cluster.api,
            dns_addresses=cluster.dns_addresses,
            cluster_name=cluster.name,
            oidc_provider_arn=cluster.oidc_provider_arn,
            oidc_provider_url=cluster.oidc_provider_url,
        ),
        after(namespaces, *gpus),
    )
    for stack in settings.inference
]

export_outputs(settings, stacks)
cluster.open()
await_rollouts(cluster.api, [*rollouts, *(one for stack in stacks for one in stack.rollouts)])
