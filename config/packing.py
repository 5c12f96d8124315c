"""How many replicas a node holds, and how many nodes the fleets need."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from config.inference import InferenceStack
from config.settings import Settings
from config.units import FLOAT_SLACK, MIB_PER_GIB


class PerNode(NamedTuple):
    """Replicas that the smallest allowed node holds, by each resource."""

    gpus: int
    """By GPUs (time slices counted)."""

    cpu: int
    """By CPU."""

    memory: int
    """By memory; /dev/shm is inside the limit."""

    @property
    def replicas(self) -> int:
        """By the scarcest."""
        return min(self)


class Pods(NamedTuple):
    """Pods of one shape."""

    replicas: int
    """How many of them."""

    cpu: float
    """vCPUs of each."""

    memory_mib: float
    """Memory of each, MiB."""

    def per_node(self, cpu: float, memory_mib: float) -> int:
        """How many of them fit in so much room."""
        return min(_fitting(cpu, self.cpu), _fitting(memory_mib, self.memory_mib))


def cpu_nodes_needed(pods: Iterable[Pods], cpu: float, memory_mib: float) -> int:
    """Return how many equal nodes hold all these pods, the largest placed first.

    Args:
        pods: Pods by shape; each must fit on an empty node.
        cpu: vCPUs of one node.
        memory_mib: Memory of one node, MiB.
    """
    # Nodes that are equally full together, so that the count of pods costs no time.
    nodes: list[tuple[int, float, float]] = []
    for shape in sorted(pods, key=lambda p: max(p.cpu / cpu, p.memory_mib / memory_mib))[::-1]:
        left = shape.replicas
        filled: list[tuple[int, float, float]] = []
        for many, free_cpu, free_mib in [*nodes, (left, cpu, memory_mib)]:
            each = shape.per_node(free_cpu, free_mib)
            full = min(many, left // each) if each else 0
            last = left - full * each if each and full < many else 0
            left -= full * each + last
            for count, held in ((full, each), (min(1, last), last)):
                room = free_cpu - held * shape.cpu, free_mib - held * shape.memory_mib
                filled.append((count, *room))
            filled.append((many - full - min(1, last), free_cpu, free_mib))
        # The last group is of nodes that nothing was placed on.
        nodes = [group for group in filled[:-1] if group[0]]
    return sum(group[0] for group in nodes)


def _fitting(free: float, each: float) -> int:
    return math.floor(free / each + FLOAT_SLACK)


def replicas_per_node(settings: Settings, stack: InferenceStack) -> PerNode:
    """Return how many of a stack's replicas the smallest allowed node holds by itself.

    Raises:
        KeyError: the capacity of an instance type is not known.
    """
    triton, free = stack.triton, settings.gpu_nodes.allocatable
    return PerNode(
        gpus=settings.gpus_per_node // max(1, triton.gpus),
        cpu=_fitting(free.cpu, triton.cpu),
        memory=_fitting(free.memory_gib * MIB_PER_GIB, triton.memory_mib),
    )


def _shape(stack: InferenceStack) -> tuple[float, ...]:
    return stack.triton.gpus, stack.triton.cpu, stack.triton.memory_mib


def nodes_needed(settings: Settings, replicas: Callable[[InferenceStack], int]) -> int:
    """Return how many GPU nodes hold so many replicas of every stack.

    Replicas of the same shape share nodes; those of another shape count on nodes of their own,
    which is never fewer nodes than the best packing of all together.

    Args:
        settings: The parameters; every replica must fit on a node.
        replicas: Replicas to place, by stack; stacks without GPUs need no GPU node.
    """
    counts: defaultdict[tuple[float, ...], int] = defaultdict(int)
    per_node: dict[tuple[float, ...], int] = {}
    for stack in settings.inference:
        if stack.triton.gpus:
            counts[_shape(stack)] += replicas(stack)
            per_node[_shape(stack)] = replicas_per_node(settings, stack).replicas
    return sum(math.ceil(count / per_node[shape]) for shape, count in counts.items())


def stranded_nodes(settings: Settings, stack: InferenceStack) -> int:
    """Return how many nodes the other shapes can make too full for one more replica, at worst.

    A node refuses a replica once more than (its GPUs - the replica's) are taken; the scheduler
    spreads, so every node may come to that before any is full. 0 where all have one shape.
    """
    if len({_shape(other) for other in settings.inference if other.triton.gpus}) < 2:
        return 0
    gpus = stack.triton.gpus
    taken = sum(other.surge_replicas * other.triton.gpus for other in settings.inference) - gpus
    return taken // (settings.gpus_per_node - gpus + 1)
