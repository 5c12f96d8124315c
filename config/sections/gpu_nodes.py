"""The GPU nodes: what the node group makes on EKS, and what the simulated nodes stand for."""

from typing import Literal

from pydantic import Field

from config.base import LabelKey, LabelValue, Section
from config.sizing.instances import INSTANCE_TYPES, Architecture, InstanceType

GPU_RESOURCE = "nvidia.com/gpu"
"""Extended resource that the device plugin advertises."""

GPU_LABEL = ("nvidia.com/gpu.present", "true")
"""Label by which GPU pods and the device plugin find GPU nodes (the device plugin chart's own)."""

_SYSTEM_CPU = 0.5
_SYSTEM_MEMORY_SHARE = 0.06
"""Held back per node for kubelet, the operating system and daemon sets; an estimate on the safe
side of the EKS AMI's kube-reserved formula (255 MiB + 11 MiB a pod, then 100 MiB for eviction)."""

_SYSTEM_DISK_SHARE = 0.11
_SYSTEM_DISK_GIB = 1
"""Held back of a node's disk: a tenth, below which kubelet evicts (`nodefs.available`) and 1 GiB of
kube-reserved, as both EKS AMIs have it, and a hundredth for the file system. Images are counted
where they are known (`packing.free_disk_gib`)."""


class Taint(Section):
    """Keeps everything but GPU pods off the expensive nodes; tolerations derive from it."""

    key: LabelKey = GPU_RESOURCE
    """Key of the taint."""

    value: LabelValue = "true"
    """Value of the taint."""

    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"
    """What happens to pods that do not tolerate it."""


class NodeCapacity(Section):
    """What one node holds, for instance types that are not in the built-in table."""

    gpus: int = Field(ge=1, le=128)
    """GPUs of one node."""

    cpu: float = Field(ge=1, le=4096)
    """vCPUs of one node."""

    memory_gib: float = Field(ge=1, le=64 * 1024)
    """Memory of one node, GiB."""


class GpuNodes(Section):
    """The nodes that only GPU pods may land on."""

    provision: Literal["eks", "none"] = "none"
    """`eks` makes a managed node group; `none` takes nodes that are there (or simulated)."""

    ami_type: Literal[
        "AL2023_x86_64_NVIDIA",
        "AL2023_ARM_64_NVIDIA",
        "BOTTLEROCKET_x86_64_NVIDIA",
        "BOTTLEROCKET_ARM_64_NVIDIA",
        "BOTTLEROCKET_x86_64_NVIDIA_FIPS",
        "BOTTLEROCKET_ARM_64_NVIDIA_FIPS",
    ] = "AL2023_x86_64_NVIDIA"
    """EKS AMI type, of the instance types' architecture; Bottlerocket brings its own device
    plugin."""

    instance_types: tuple[str, ...] = Field(default=("g6.12xlarge",), min_length=1)
    """EC2 instance types; the smallest one counts in every capacity check."""

    capacity_type: Literal["ON_DEMAND", "SPOT"] = "ON_DEMAND"
    """Spot nodes get two minutes' notice; the drain check holds the pods to it."""

    min_size: int = Field(default=1, ge=0, le=5000)
    """Fewest nodes; replicas that do not fit on them start cold."""

    max_size: int = Field(default=6, ge=1, le=5000)
    """Most nodes; must hold the largest fleet and one roll-out's surge."""

    disk_gib: int = Field(default=200, ge=20, le=64 * 1024)
    """Disk of each node, GiB, on EKS an encrypted gp3 volume; holds images and what replicas write,
    and counts in every capacity check."""

    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further node labels, beside the GPU label that the stack sets itself."""

    taint: Taint = Taint()
    """The GPU taint."""

    node_start_seconds: float = Field(default=180.0, ge=1, le=3600)
    """From a node's request to Ready with its GPU advertised; a part of what a cold start costs."""

    max_unavailable: int = Field(default=1, ge=1, le=100)
    """Nodes that a node-group update may take away at once; EKS allows 100 at most."""

    vpc_cni_policy: bool = True
    """Whether the nodes' role carries the VPC CNI's rights; off where the add-on has a role."""

    capacity: NodeCapacity | None = None
    """Capacity of one node, needed where an instance type is not in the built-in table."""

    @property
    def unknown_instance_types(self) -> tuple[str, ...]:
        """Instance types whose capacity must be stated."""
        if self.capacity:
            return ()
        return tuple(name for name in self.instance_types if name not in INSTANCE_TYPES)

    @property
    def node(self) -> InstanceType:
        """Capacity of the smallest allowed node, each resource taken by itself.

        Raises:
            KeyError: an instance type is unknown and no capacity is stated (a check refuses it).
        """
        if self.capacity:
            return InstanceType(self.capacity.gpus, self.capacity.cpu, self.capacity.memory_gib)
        types = [INSTANCE_TYPES[name] for name in self.instance_types]
        return InstanceType(
            min(t.gpus for t in types), min(t.cpu for t in types), min(t.memory_gib for t in types)
        )

    @property
    def allocatable(self) -> InstanceType:
        """What pods can have of the smallest node, after the system's share."""
        node = self.node
        return InstanceType(
            node.gpus, node.cpu - _SYSTEM_CPU, node.memory_gib * (1 - _SYSTEM_MEMORY_SHARE)
        )

    @property
    def allocatable_disk_gib(self) -> float:
        """Disk that pods can ask for of one node, GiB, after the system's share."""
        return self.disk_gib * (1 - _SYSTEM_DISK_SHARE) - _SYSTEM_DISK_GIB

    @property
    def node_labels(self) -> dict[str, str]:
        """All labels of a GPU node."""
        return {**self.labels, GPU_LABEL[0]: GPU_LABEL[1]}

    @property
    def ami_architecture(self) -> Architecture:
        """Architecture that the AMI is built for."""
        return "arm64" if "_ARM_64_" in self.ami_type else "amd64"

    @property
    def brings_device_plugin(self) -> bool:
        """Whether the AMI already runs the NVIDIA device plugin (Bottlerocket NVIDIA does)."""
        return self.ami_type.startswith("BOTTLEROCKET")
