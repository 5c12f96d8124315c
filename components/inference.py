"""One inference stack: Triton, its spares, its gateway, its scaler and NetworkPolicies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi

from components.autoscaler.component import Autoscaler, AutoscalerArgs
from components.common.kubernetes_api import KubernetesApi
from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.network.component import NetworkPolicies, NetworkPoliciesArgs
from components.rollout.component import Rollout
from components.spare.component import WarmSpare, WarmSpareArgs
from components.triton.component import Triton, TritonArgs
from components.triton.eks_cluster import EksCluster
from config.base import Tier
from config.flows import Flow
from config.sections.gpu_nodes import GpuNodes
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus


@dataclass(frozen=True, kw_only=True)
class InferenceArgs:
    """The stack's parameters, and the shared parts that it works with.

    A program for an existing cluster needs only the first three. The other arguments describe the
    cluster to features that need them.
    """

    config: InferenceStack
    nodes: GpuNodes
    prometheus: Prometheus
    sharing: GpuSharing = field(default_factory=NotShared)
    """Sharing of the GPUs, as the nodes' device plugin has it."""
    evictable: int = 1
    """Replicas that drains may evict at once, unless `config` states them; on spot nodes, as many
    as a node holds (`config.sizing.packing.evictable`)."""
    flows: Sequence[Flow] = ()
    """Connections of the program's other parts, such as a service that the gateway calls."""
    tier: Tier = "dev"
    """Tier of the stack. In `prod` gateways have separate nodes, unless the parameters say no."""
    scaling: Sequence[pulumi.Resource] = ()
    """KEDA's release, if this program installs it. The release must outlive the scaler, whose
    finalizer KEDA removes."""
    api: pulumi.Input[KubernetesApi | None] = None
    """Client of the API server. Without one, `up` deletes no old ConfigMaps and
    `await_rollouts` waits for no pod: `up` ends once the API server has the Deployments."""
    dns_addresses: Sequence[str] = ()
    """Address ranges of a DNS server outside pods, such as NodeLocal DNSCache."""
    eks: EksCluster = field(default_factory=EksCluster)
    """EKS cluster, for models in S3."""
    protect: bool = False
    """True if the engine must refuse to delete the gateway's Service."""


class Inference(pulumi.ComponentResource):
    """An inference stack; a program may have several, each with its own name prefix.

    Stacks share GPU nodes, the device plugin, Prometheus and KEDA, which it does not declare.
    """

    endpoint: pulumi.Output[str]
    """gRPC address of the gateway, `host:port`, for the VPC if a load balancer leads there."""

    cluster_endpoint: pulumi.Output[str]
    """gRPC address of the gateway, `host:port`, for pods of the cluster."""

    rollouts: tuple[Rollout, ...]
    """The rollouts that `await_rollouts` waits for."""

    def __init__(
        self, name: str, args: InferenceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:Inference", name, None, opts)
        stack = args.config
        policies = NetworkPolicies(
            f"{name}-network",
            NetworkPoliciesArgs(
                config=stack,
                prometheus=args.prometheus,
                dns_addresses=args.dns_addresses,
                flows=args.flows,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Policies first: `destroy` deletes them last, so that they cut off no pod that drains.
        connected = pulumi.ResourceOptions(parent=self, depends_on=[policies])
        triton = Triton(
            f"{name}-triton",
            TritonArgs(
                config=stack,
                nodes=args.nodes,
                prometheus=args.prometheus,
                sharing=args.sharing,
                evictable=args.evictable,
                api=args.api,
                eks=args.eks,
            ),
            opts=connected,
        )
        if stack.triton.warm_spare.replicas:
            WarmSpare(
                f"{name}-warm-spare",
                WarmSpareArgs(config=stack, replica=triton.pod),
                opts=connected,
            )
        gateway = EnvoyGateway(
            f"{name}-gateway",
            EnvoyGatewayArgs(
                config=stack,
                prometheus=args.prometheus,
                separate_nodes=stack.gateway.on_separate_nodes(args.tier),
                api=args.api,
                protect=args.protect,
            ),
            opts=connected,
        )
        Autoscaler(
            f"{name}-autoscaler",
            AutoscalerArgs(config=stack, prometheus=args.prometheus),
            # Not after Triton, the gateway or Prometheus: if the API server refuses one of them,
            # the scaler must still reach the existing replicas. KEDA retries until all exist.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.scaling)),
        )
        self.rollouts = (triton.rollout, gateway.rollout)
        self.endpoint = gateway.endpoint
        self.cluster_endpoint = gateway.cluster_endpoint
        self.register_outputs({"endpoint": self.endpoint, "clusterEndpoint": self.cluster_endpoint})
