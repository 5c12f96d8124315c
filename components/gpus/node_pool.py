"""GPU capacity by Karpenter: one NodePool with its EC2NodeClass."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.labels import labels
from components.gpus.node_pool_specs import NODE_CLASS_KIND, node_class_spec, node_pool_spec
from config.sections.karpenter import NODE_CLASS_API, NODE_POOL_API, Karpenter, KarpenterPool


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolArgs:
    """Parameters of the nodes, and of the cluster that they join."""

    nodes: Karpenter
    """Parameters that all pools share."""
    config: KarpenterPool
    loading_seconds: int
    """Longest time that a replica needs to load."""
    cluster_name: pulumi.Input[str] = ""
    """Value of the discovery tag, if the parameters state none."""


class GpuNodePool(pulumi.ComponentResource):
    """Tainted GPU nodes, as Karpenter starts them for pods and removes them after.

    The program declares no resource of AWS. The platform team owns Karpenter, the nodes' role and
    the tags of subnets and security groups.
    """

    node_pool_name: pulumi.Output[str]
    """Name of the NodePool."""

    def __init__(
        self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:GpuNodePool", name, None, opts)
        pool = args.config
        metadata = kubernetes.meta.v1.ObjectMetaArgs(
            name=pool.name, labels=labels(pool.name, "gpu-nodes", pool.name)
        )
        tags = {**pool.tags, "project": pulumi.get_project(), "stack": pulumi.get_stack()}
        discovery = args.nodes.discovery or args.cluster_name
        node_class = kubernetes.apiextensions.CustomResource(
            f"{name}-node-class",
            api_version=NODE_CLASS_API,
            kind=NODE_CLASS_KIND,
            metadata=metadata,
            spec=node_class_spec(args.nodes, pool, discovery, tags),
            # It stays until the last of its nodes has drained (Karpenter's finalizer).
            opts=pulumi.ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(delete="2h")
            ),
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-node-pool",
            api_version=NODE_POOL_API,
            kind="NodePool",
            metadata=metadata,
            spec=node_pool_spec(pool, args.loading_seconds),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[node_class]),
        )
        self.node_pool_name = pulumi.Output.from_input(pool.name)
        self.register_outputs({"nodePoolName": self.node_pool_name})
