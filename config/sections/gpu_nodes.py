"""GPU nodes: a pool of equal nodes, and existing nodes, which may be simulated."""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from config.base import LabelKey, LabelValue, Section
from config.sizing.instances import (
    INSTANCE_TYPES,
    Architecture,
    InstanceType,
    most_pods,
    usable_cpu,
    usable_memory_gib,
)

GPU_RESOURCE = "nvidia.com/gpu"
"""Extended resource that the device plugin advertises."""

GPU_LABEL = ("nvidia.com/gpu.present", "true")
"""Label by which GPU pods and the device plugin find GPU nodes (the device plugin chart's own)."""

_SYSTEM_DISK_SHARE = 0.11
_SYSTEM_DISK_GIB = 1
"""Disk of a node that pods cannot use: a tenth, below which kubelet evicts (`nodefs.available`),
1 GiB of kube-reserved, as both EKS AMIs have it, and a hundredth for the file system. Images are
counted if their sizes are known (`packing.free_disk_gib`)."""

REMOVED_NODE_KEYS = {"provision": "`gpuNodes.kind` takes its place, `eksNodeGroups` or `existing`"}
"""Keys of earlier versions, with the reason for their removal."""


class Taint(Section):
    """Keeps everything but GPU pods off the expensive nodes; tolerations derive from it."""

    key: LabelKey = GPU_RESOURCE
    """Key of the taint."""

    value: LabelValue = "true"
    """Value of the taint."""

    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"
    """Effect on pods that do not tolerate it."""


class NodeCapacity(Section):
    """Capacity of one node, for instance types that are not in the built-in table."""

    gpus: int = Field(ge=1, le=128)
    """GPUs of one node."""

    cpu: float = Field(ge=1, le=4096)
    """vCPUs of one node."""

    memory_gib: float = Field(ge=1, le=64 * 1024)
    """Memory of one node, GiB."""

    local_disk_gb: float = Field(default=0, ge=0, le=1_000_000)
    """Local NVMe disks of one node together, GB, as EC2 states them."""


class GpuNodes(Section):
    """A pool of equal nodes that only GPU pods may run on."""

    ami_type: Literal[
        "AL2023_x86_64_NVIDIA",
        "AL2023_ARM_64_NVIDIA",
        "BOTTLEROCKET_x86_64_NVIDIA",
        "BOTTLEROCKET_ARM_64_NVIDIA",
        "BOTTLEROCKET_x86_64_NVIDIA_FIPS",
        "BOTTLEROCKET_ARM_64_NVIDIA_FIPS",
    ] = "AL2023_x86_64_NVIDIA"
    """EKS AMI type, of the instance types' architecture; Bottlerocket includes its own
    device plugin."""

    instance_types: tuple[str, ...] = Field(default=("g6.12xlarge",), min_length=1)
    """EC2 instance types; the smallest one counts in every capacity check."""

    capacity_type: Literal["ON_DEMAND", "SPOT", "CAPACITY_BLOCK"] = "ON_DEMAND"
    """Purchase option; spot nodes get two minutes' notice, within which the pods must stop. A
    Capacity Block needs `capacityReservationId`."""

    max_size: int = Field(default=6, ge=1, le=5000)
    """Most nodes; must hold the largest fleet and the surge of one rollout."""

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
    """Time from a node's request to Ready with its GPU advertised; part of each cold start."""

    capacity: NodeCapacity | None = None
    """Capacity of one node, needed if an instance type is not in the built-in table."""

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
            KeyError: An instance type is unknown and no capacity is stated (a check refuses it).
        """
        if self.capacity:
            stated = self.capacity
            return InstanceType(stated.gpus, stated.cpu, stated.memory_gib, stated.local_disk_gb)
        types = [INSTANCE_TYPES[name] for name in self.instance_types]
        return InstanceType(*(min(each) for each in zip(*types, strict=True)))

    @property
    def allocatable(self) -> InstanceType:
        """Capacity of the smallest node that pods can use, after the system's share."""
        node, pods = self.node, max(map(most_pods, self.instance_types))
        return InstanceType(
            node.gpus, usable_cpu(node.cpu), usable_memory_gib(node.memory_gib, pods)
        )

    @property
    def allocatable_disk_gib(self) -> float:
        """Disk of one node that pods can request, GiB, after the system's share."""
        return self.pods_disk_gib * (1 - _SYSTEM_DISK_SHARE) - _SYSTEM_DISK_GIB

    @property
    def pods_disk_gib(self) -> float:
        """Disk of one node that holds images and the files of pods, GiB."""
        return self.disk_gib

    @property
    def disk_keys(self) -> dict[str, object]:
        """Parameters that decide the disk for pods, with their values."""
        return {"diskGib": self.disk_gib}

    @property
    def takes_user_data(self) -> bool:
        """True if the stack writes the nodes' user data."""
        return False

    @property
    def node_labels(self) -> dict[str, str]:
        """All labels of a GPU node."""
        return {**self.labels, GPU_LABEL[0]: GPU_LABEL[1]}

    @property
    def fewest(self) -> int | None:
        """Fewest nodes, whatever runs on them; None if nodes run only while pods need them."""
        return None

    @property
    def spot(self) -> bool:
        """True if AWS may take the nodes away, with two minutes' notice."""
        return self.capacity_type == "SPOT"

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes may have, by each label that the parameters decide."""
        return {key: frozenset([value]) for key, value in self.node_labels.items()}

    @property
    def architecture(self) -> Architecture | None:
        """Architecture of the nodes; None where it is not known."""
        return None

    @property
    def ami_architecture(self) -> Architecture:
        """Architecture that the AMI is built for."""
        return "arm64" if "_ARM_64_" in self.ami_type else "amd64"

    @property
    def brings_device_plugin(self) -> bool:
        """True if the AMI already runs the NVIDIA device plugin (Bottlerocket NVIDIA does)."""
        return self.ami_type.startswith("BOTTLEROCKET")

    def replica_annotations(self, loading_seconds: int) -> dict[str, str]:  # noqa: ARG002
        """Return the annotations by which the nodes' autoscaler spares a replica that loads.

        Args:
            loading_seconds: Longest time from the start of a replica's pod until it is ready.
        """
        return {}


class SizedNodes(GpuNodes):
    """Nodes that have a fewest number, as those of an Auto Scaling group have."""

    min_size: int = Field(default=1, ge=0, le=5000)
    """Fewest nodes; replicas that do not fit on them start cold."""

    @property
    def fewest(self) -> int:
        """Fewest nodes, whatever runs on them."""
        return self.min_size


class Pool(NamedTuple):
    """Equal nodes that take new GPU pods, with their place in the parameters."""

    nodes: GpuNodes
    """The nodes."""

    path: str
    """YAML path of the section that states them."""

    def key(self, path: str) -> str:
        """Return the YAML path of one of the pool's parameters."""
        return f"{self.path}.{path}"


class ExistingNodes(SizedNodes):
    """GPU nodes that someone else creates, or that the local cluster simulates."""

    removed: ClassVar[Mapping[str, str]] = REMOVED_NODE_KEYS

    kind: Literal["existing"] = "existing"
    """Nodes of the cluster, or simulated ones."""

    noun: ClassVar[str] = "node"
    """Name of one of them in messages."""

    needed_apis: ClassVar[tuple[tuple[str, str], ...]] = ()
    """API versions and resources that the cluster must serve for them: none."""

    @property
    def needed_outputs(self) -> tuple[str, ...]:
        """Facts of the platform that the nodes need: none."""
        return ()

    @property
    def created(self) -> tuple[()]:
        """No pool: the stack creates none."""
        return ()

    @property
    def groups(self) -> tuple[()]:
        """No node group: the stack creates none."""
        return ()

    @property
    def groups_at(self) -> tuple[()]:
        """No node group."""
        return ()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The one pool."""
        return (Pool(self, "gpuNodes"),)

    @property
    def pool(self) -> GpuNodes:
        """Nodes whose taint and architecture the pods' templates state."""
        return self


def as_existing(pool: GpuNodes) -> dict[str, object]:
    """Return the value of `gpuNodes` with which a pool's nodes are existing ones."""
    kept = pool.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include={*SizedNodes.model_fields}
    )
    return {"kind": "existing", **kept}
