"""Capacity of a node in replicas, and the number of nodes that the fleets need."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from config.sections.affinity import possible_values
from config.sections.gpu_nodes import GpuNodes
from config.sections.inference import InferenceStack
from config.sections.pods import PodOptions
from config.settings import Settings
from config.sizing.instances import INSTANCE_TYPE_LABEL
from config.units import EPSILON, MIB_PER_GIB

OTHER_IMAGES_GIB = 2
"""Space on a GPU node for all images except Triton's, GiB: VPC CNI, kube-proxy, agents, the device
plugin and the AWS CLI that copies models, each a few hundred MiB; an estimate."""


class PerNode(NamedTuple):
    """Replicas that the smallest allowed node holds, by each resource."""

    gpus: int
    """By GPUs (time slices counted)."""

    cpu: int
    """By CPU."""

    memory: int
    """By memory; /dev/shm is inside the limit."""

    disk: int
    """By disk, beside the images."""

    @property
    def replicas(self) -> int:
        """Replicas by the scarcest resource."""
        return min(self)


class Room(NamedTuple):
    """Requests of a pod, or capacity of a node for pods."""

    cpu: float
    """vCPUs."""

    memory_mib: float
    """Memory, MiB."""

    disk_mib: float
    """Disk, MiB."""

    def holds(self, pod: "Room") -> int:
        """Return the number of such pods that fit."""
        return min(_fitting(free, each) for free, each in zip(self, pod, strict=True))

    def share_of(self, node: "Room") -> float:
        """Return the largest share of any resource of a node that it takes."""
        return max(each / whole for each, whole in zip(self, node, strict=True))

    def without(self, count: int, pod: "Room") -> "Room":
        """Return the rest beside a number of such pods."""
        return Room(*(free - count * each for free, each in zip(self, pod, strict=True)))


class Pods(NamedTuple):
    """Pods of one shape."""

    replicas: int
    """Number of pods."""

    each: Room
    """Requests of each pod."""


def cpu_nodes_needed(pods: Iterable[Pods], node: Room) -> int:
    """Return the number of equal nodes that hold all pods, the largest placed first.

    Args:
        pods: Pods by shape; each must fit on an empty node.
        node: Capacity of one node.
    """
    # Nodes that are equally full form one group, so that the time does not grow with the pods.
    nodes: list[tuple[int, Room]] = []
    for left, pod in sorted(pods, key=lambda shape: shape.each.share_of(node))[::-1]:
        filled: list[tuple[int, Room]] = []
        for many, free in [*nodes, (left, node)]:
            each = free.holds(pod)
            full = min(many, left // each) if each else 0
            last = left - full * each if each and full < many else 0
            left -= full * each + last
            for count, held in ((full, each), (min(1, last), last)):
                filled.append((count, free.without(held, pod)))
            filled.append((many - full - min(1, last), free))
        # The last group holds the nodes that stayed empty.
        nodes = [group for group in filled[:-1] if group[0]]
    return sum(group[0] for group in nodes)


def _fitting(free: float, each: float) -> int:
    return math.floor(free / each + EPSILON)


def free_disk_gib(settings: Settings) -> float:
    """Return the disk of a GPU node that replicas can request beside the images, GiB.

    Images occupy the disk that pods write to; neither kubelet's allocatable nor the scheduler
    counts them.
    """
    tritons = [stack.triton for stack in settings.inference if stack.triton.gpus]
    sizes = {triton.image: triton.unpacked_image_gib for triton in tritons}
    images_gib = sum(sizes.values()) + OTHER_IMAGES_GIB
    return max(0, settings.gpu_nodes.pool.allocatable_disk_gib - images_gib)


def replicas_per_node(settings: Settings, stack: InferenceStack) -> PerNode:
    """Return the number of a stack's replicas that the smallest allowed node holds.

    Raises:
        KeyError: The capacity of an instance type is not known.
    """
    triton, pool = stack.triton, selected_nodes(settings.gpu_nodes.pool, stack.triton.pods)
    free = pool.allocatable
    return PerNode(
        gpus=pool.node.gpus * settings.device_plugin.time_slices // max(1, triton.gpus),
        cpu=_fitting(free.cpu, triton.cpu),
        memory=_fitting(free.memory_gib * MIB_PER_GIB, triton.memory_mib),
        disk=_fitting(free_disk_gib(settings) * MIB_PER_GIB, triton.storage_mib),
    )


def evictable(settings: Settings, stack: InferenceStack) -> int:
    """Return the number of a stack's replicas that drains may evict at once.

    A spot node ends two minutes after its notice, with all its replicas: only those that are
    evicted at once run their preStop hook and finish their calls.
    """
    stated = stack.triton.disruption_budget
    if stated is not None:
        return stated
    spot = stack.triton.gpus > 0 and settings.gpu_nodes.pool.spot
    return max(1, replicas_per_node(settings, stack).replicas) if spot else 1


def selected_nodes(pool: GpuNodes, pods: PodOptions) -> GpuNodes:
    """Return the pool without the instance types that the pods' placement excludes.

    Preferences and other labels do not count: they leave the smallest type possible.
    """
    if pool.capacity:
        return pool
    terms = possible_values(pods.affinity or {})
    allowed: set[str] = set(pool.instance_types)
    if terms and all(INSTANCE_TYPE_LABEL in term for term in terms):
        allowed &= {name for term in terms for name in term[INSTANCE_TYPE_LABEL]}
    if stated := pods.node_selector.get(INSTANCE_TYPE_LABEL):
        allowed &= {stated}
    left = tuple(name for name in pool.instance_types if name in allowed)
    # A check refuses pods that no node may run.
    return pool.model_copy(update={"instance_types": left}) if left else pool


def _shape(stack: InferenceStack) -> tuple[float | str, ...]:
    triton = stack.triton
    placed = triton.pods.model_dump_json(include={"node_selector", "affinity"})
    return triton.gpus, triton.cpu, triton.memory_mib, triton.storage_mib, placed


def nodes_needed(settings: Settings, replicas: Callable[[InferenceStack], int]) -> int:
    """Return the number of GPU nodes that hold a number of replicas of every stack.

    Replicas of the same shape and placement share nodes. Others count on nodes of their own; this
    is never fewer nodes than the best packing of all replicas together.

    Args:
        settings: The parameters; every replica must fit on a node.
        replicas: Replicas to place, by stack; stacks without GPUs need no GPU node.
    """
    counts: defaultdict[tuple[float | str, ...], int] = defaultdict(int)
    per_node: dict[tuple[float | str, ...], int] = {}
    for stack in settings.inference:
        if stack.triton.gpus:
            counts[_shape(stack)] += replicas(stack)
            per_node[_shape(stack)] = replicas_per_node(settings, stack).replicas
    return sum(math.ceil(count / per_node[shape]) for shape, count in counts.items())


def stranded_nodes(settings: Settings, stack: InferenceStack) -> int:
    """Return the largest number of nodes that other shapes can make too full for one more replica.

    A node refuses a replica once more than (its GPUs - the replica's) are taken. The scheduler
    spreads pods, so every node may reach that before any is full. 0 if all have one shape.
    """
    if len({_shape(other) for other in settings.inference if other.triton.gpus}) < 2:
        return 0
    gpus = stack.triton.gpus
    taken = sum(other.surge_replicas * other.triton.gpus for other in settings.inference) - gpus
    return taken // (settings.gpus_per_node - gpus + 1)
