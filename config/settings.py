"""The whole of one stack's parameters."""

from typing import Annotated

from pydantic import Field

from config.base import Section, Tier
from config.sections.device_plugin import DevicePlugin
from config.sections.gpu_nodes import ExistingNodes, GpuNodes
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.sections.images import Images
from config.sections.inference import InferenceStack
from config.sections.karpenter import Karpenter
from config.sections.keda import ExistingKeda, Keda
from config.sections.node_groups import EksNodeGroups
from config.sections.platform import LocalPlatform, Platform
from config.sections.prometheus import ManagedPrometheus, Prometheus

Nodes = EksNodeGroups | ExistingNodes | Karpenter


class Settings(Section):
    """Every parameter of a stack, as read from `Pulumi.<stack>.yaml`."""

    tier: Tier = "dev"
    """Purpose of the stack; prod is protected and has stricter checks."""

    platform: Annotated[Platform, Field(discriminator="kind")] = LocalPlatform()
    """The cluster."""

    gpu_nodes: Annotated[Nodes, Field(discriminator="kind")] = ExistingNodes()
    """The GPU nodes."""

    images: Images = Images()
    """Registries of the images."""

    gpu_sharing: Annotated[GpuSharing, Field(discriminator="kind")] = NotShared()
    """Sharing of one GPU by several replicas."""

    device_plugin: DevicePlugin = DevicePlugin()
    """The NVIDIA device plugin."""

    prometheus: Annotated[Prometheus, Field(discriminator="kind")] = ManagedPrometheus()
    """Prometheus."""

    keda: Annotated[Keda, Field(discriminator="kind")] = ExistingKeda()
    """KEDA."""

    inference: tuple[InferenceStack, ...] = Field(default=(InferenceStack(),), min_length=1)
    """The inference stacks."""

    may_remove: tuple[str, ...] = ()
    """Live inference stacks that `up` may delete in tier prod, each as `namespace/name` of its
    Triton Deployment. An entry of `inference` whose namespace or name prefix changes is one."""

    @property
    def device_plugin_enabled(self) -> bool:
        """True if the stack runs the device plugin."""
        stated = self.device_plugin.enabled
        return stated if stated is not None else not self.gpu_nodes.pool.brings_device_plugin

    def gpus_of(self, nodes: GpuNodes) -> int:
        """Return the GPUs, or shares of shared ones, of the smallest node of a pool."""
        return nodes.node.gpus * self.gpu_sharing.per_gpu
