"""Arguments of a local cluster: its nodes, its images, the ports that lead into it, its Envoy.

Plain values that any program can build. Nothing here reads a file or knows a configuration format.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GPU_RESOURCE = "nvidia.com/gpu"
"""Extended resource that NVIDIA's device plugin advertises."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources of one node."""

    cpu: float
    """CPUs."""

    memory_gib: float
    """Memory, GiB."""

    disk_gib: float
    """Ephemeral storage, GiB."""

    gpus: int = 0
    """GPUs."""


@dataclass(frozen=True, kw_only=True)
class Taint:
    """Taint of a node."""

    key: str
    """Key."""

    value: str = ""
    """Value."""

    effect: str = "NoSchedule"
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`."""


@dataclass(frozen=True, kw_only=True)
class SimulatedNode:
    """A node whose kubelet kwok simulates: pods become Ready on it, and no container runs."""

    name: str
    """Name of the node."""

    capacity: Resources
    """Resources that the node has."""

    allocatable: Resources | None = None
    """Resources that pods can request; the whole capacity if unset."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels, beside those of its host name, zone, operating system and architecture."""

    taints: Sequence[Taint] = ()
    """Taints."""

    zone: str = "local-a"
    """Value of the label `topology.kubernetes.io/zone`."""


@dataclass(frozen=True, kw_only=True)
class ServingNode:
    """The one real node of a cluster that serves."""

    gpus: int = 0
    """GPUs that the node advertises and does not have."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels, beside those that kubelet sets and the zone."""


@dataclass(frozen=True, kw_only=True)
class Envoy:
    """An Envoy binary, which becomes the image `envoy` of a cluster that serves."""

    path: Path
    """Path of the binary."""

    version: str
    """Its version, which becomes the tag of the image."""


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Everything that a caller decides about a local cluster, except where it is and its mode."""

    simulated_nodes: Sequence[SimulatedNode] = (
        SimulatedNode(name="cpu-0", capacity=Resources(cpu=8, memory_gib=32, disk_gib=100)),
    )
    """Nodes of the mode `simulated`."""

    serving_node: ServingNode = ServingNode()
    """Node of the mode `serving`."""

    images: Mapping[str, str] = field(default_factory=dict[str, str])
    """Images that the workloads will name, by the place that names them. The mode `serving` refuses
    an image that it cannot build; the message names the place."""

    forwards: Mapping[str, str] = field(default_factory=dict[str, str])
    """Targets in the mode `serving`, `host:port` as a pod sees them, by a name of the caller's.
    Each gets a loopback port of the machine, which `Record.ports` holds under the same name."""

    envoy: Envoy | None = None
    """Envoy for the image `envoy`; without it the mode `serving` has no such image."""
