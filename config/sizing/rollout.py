"""The longest times that replicas need to get ready, and that a rollout needs to replace them."""

import math
from collections.abc import Iterable

from config.sections.gpu_nodes import GpuNodes
from config.sections.inference import InferenceStack
from config.sections.triton import PULL_SECONDS


def loading_seconds(stack: InferenceStack) -> int:
    """Return the time from the start of a replica's pod on a new node until it is ready."""
    return math.ceil(PULL_SECONDS + stack.triton.ready_seconds)


def longest_loading_seconds(stacks: Iterable[InferenceStack]) -> int:
    """Return the longest time that a replica of any stack takes to load on a new GPU node."""
    return max((loading_seconds(stack) for stack in stacks if stack.triton.gpus), default=0)


def start_seconds(stack: InferenceStack, nodes: GpuNodes) -> int:
    """Return the longest time for one replica to get ready, on a node that does not exist yet."""
    fetched = PULL_SECONDS + stack.triton.copy_seconds
    return math.ceil(nodes.node_start_seconds + fetched + stack.startup_budget_seconds)


def rollout_seconds(stack: InferenceStack, nodes: GpuNodes) -> int:
    """Return the longest time for a rollout to replace the largest fleet.

    It replaces one surge after another: a new replica gets ready, and the GPUs of the old one are
    free for the next only after the grace period of the old one.
    """
    fleet = stack.autoscaler.max_replicas
    rounds = math.ceil(fleet / stack.triton.surge_of(fleet))
    each = math.ceil(stack.triton.ready_seconds + stack.triton_grace_seconds)
    return start_seconds(stack, nodes) + (rounds - 1) * each
