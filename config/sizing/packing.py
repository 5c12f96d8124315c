"""Capacity of a node in replicas, and the number of nodes that the fleets need."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from config.remembered import remembered
from config.sections.affinity import possible_values
from config.sections.gpu_nodes import GpuNodes, Pool
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
    """By GPUs, or by shares of shared ones."""

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
    counts: defaultdict[Room, int] = defaultdict(int)
    for replicas, pod in pods:
        counts[pod] += replicas
    # Nodes that are equally full form one group, so that the time does not grow with the pods.
    nodes: list[tuple[int, Room]] = []
    for pod in sorted(counts, key=lambda each: (each.share_of(node), each), reverse=True):
        left = counts[pod]
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


def free_disk_gib(settings: Settings, nodes: GpuNodes) -> float:
    """Return the disk of a GPU node that replicas can request beside the images, GiB.

    Images occupy the disk that pods write to; neither kubelet's allocatable nor the scheduler
    counts them.
    """
    return max(0, nodes.allocatable_disk_gib - _images_gib(settings))


@remembered
def _images_gib(settings: Settings) -> int:
    tritons = [stack.triton for stack in settings.inference if stack.triton.gpus]
    sizes = {triton.image: triton.unpacked_image_gib for triton in tritons}
    return sum(sizes.values()) + OTHER_IMAGES_GIB


def replicas_per_node(settings: Settings, stack: InferenceStack, nodes: GpuNodes) -> PerNode:
    """Return the number of a stack's replicas that the smallest node of a pool holds.

    Raises:
        KeyError: The capacity of an instance type is not known.
    """
    triton, pods = stack.triton, stack.triton.pods
    elsewhere = (may_run(pool.nodes, pods) for pool in settings.gpu_nodes.pools)
    if not may_run(nodes, pods) and any(elsewhere):
        return PerNode(0, 0, 0, 0)
    selected = selected_nodes(nodes, pods)
    free = selected.allocatable
    return PerNode(
        gpus=settings.gpus_of(selected) // max(1, triton.gpus),
        cpu=_fitting(free.cpu, triton.cpu),
        memory=_fitting(free.memory_gib * MIB_PER_GIB, triton.memory_mib),
        disk=_fitting(free_disk_gib(settings, selected) * MIB_PER_GIB, triton.storage_mib),
    )


def fitting_pools(settings: Settings, stack: InferenceStack) -> list[Pool]:
    """Return the pools whose smallest node holds a replica of a stack."""
    pools = settings.gpu_nodes.pools
    return [one for one in pools if replicas_per_node(settings, stack, one.nodes).replicas]


def evictable(settings: Settings, stack: InferenceStack) -> int:
    """Return the number of a stack's replicas that drains may evict at once.

    A spot node ends two minutes after its notice, with all its replicas: only those that are
    evicted at once run their preStop hook and finish their calls.
    """
    stated = stack.triton.disruption_budget
    if stated is not None:
        return stated
    spot = [pool for pool in settings.gpu_nodes.pools if pool.nodes.spot]
    return max(1, most_per_node(settings, stack, spot) if stack.triton.gpus else 1)


def most_per_node(settings: Settings, stack: InferenceStack, pools: Iterable[Pool]) -> int:
    """Return the largest number of a stack's replicas on one node of some pools; 0 for none."""
    held = (replicas_per_node(settings, stack, pool.nodes).replicas for pool in pools)
    return max(held, default=0)


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


def may_run(nodes: GpuNodes, pods: PodOptions) -> bool:
    """Return True unless the pods' placement excludes all nodes of a pool."""
    known = nodes.known_labels
    terms = possible_values(pods.affinity or {})
    selected = {key: {value} for key, value in pods.node_selector.items()}
    return all(key not in known or values & known[key] for key, values in selected.items()) and (
        not terms
        or any(
            all(key not in known or values & known[key] for key, values in term.items())
            for term in terms
        )
    )


def _shape(stack: InferenceStack) -> tuple[float | str, ...]:
    triton = stack.triton
    placed = triton.pods.model_dump_json(include={"node_selector", "affinity"})
    return triton.gpus, triton.cpu, triton.memory_mib, triton.storage_mib, placed


def packed(
    settings: Settings,
    replicas: Callable[[InferenceStack], int],
    size: Callable[[GpuNodes], int] = lambda nodes: nodes.max_size,
) -> list[int]:
    """Return the number of nodes of each pool that hold a number of replicas of every stack.

    Replicas of the same shape and placement share nodes. Others count on nodes of their own; this
    is never fewer nodes than the best packing of all replicas together. The shapes that fit into
    the fewest pools are placed first, into the pools that hold the fewest shapes. Replicas for
    which no node is left count on their last pool, which then has more nodes than its size.

    Args:
        settings: The parameters; every replica must fit on a node of some pool.
        replicas: Replicas to place, by stack; stacks without GPUs need no GPU node.
        size: Number of nodes of a pool.
    """
    counts: defaultdict[tuple[float | str, ...], int] = defaultdict(int)
    holds: dict[tuple[float | str, ...], list[int]] = {}
    pools = settings.gpu_nodes.pools
    for stack in settings.inference:
        if stack.triton.gpus:
            shape = _shape(stack)
            counts[shape] += replicas(stack)
            holds[shape] = [replicas_per_node(settings, stack, one.nodes).replicas for one in pools]
    shapes_of = [sum(bool(each[i]) for each in holds.values()) for i in range(len(pools))]
    taken = [0 for _ in pools]
    for shape in sorted(counts, key=lambda one: sum(map(bool, holds[one]))):
        each, left = holds[shape], counts[shape]
        fitting = sorted((i for i in range(len(pools)) if each[i]), key=lambda i: shapes_of[i])
        for i in fitting:
            needed = math.ceil(left / each[i])
            if i != fitting[-1]:
                needed = min(needed, max(0, size(pools[i].nodes) - taken[i]))
            taken[i] += needed
            left = max(0, left - needed * each[i])
    return taken


def nodes_needed(settings: Settings, replicas: Callable[[InferenceStack], int]) -> int:
    """Return the number of GPU nodes that hold a number of replicas of every stack."""
    return sum(packed(settings, replicas))


def stranded_nodes(settings: Settings, stack: InferenceStack) -> int:
    """Return the largest number of nodes that other shapes can make too full for one more replica.

    A node refuses a replica once more than (its GPUs - the replica's) are taken. The scheduler
    spreads pods, so every node may reach that before any is full. 0 if all have one shape.
    """
    shapes, all_gpus = _shapes_and_gpus(settings)
    if shapes < 2:
        return 0
    gpus = stack.triton.gpus
    taken = all_gpus - gpus
    least = min(settings.gpus_of(pool.nodes) for pool in fitting_pools(settings, stack))
    return taken // (least - gpus + 1)


@remembered
def _shapes_and_gpus(settings: Settings) -> tuple[int, int]:
    """Return the number of shapes of replicas with GPUs, and the GPUs of the largest fleets."""
    stacks = settings.inference
    shapes = {_shape(stack) for stack in stacks if stack.triton.gpus}
    return len(shapes), sum(stack.surge_replicas * stack.triton.gpus for stack in stacks)
