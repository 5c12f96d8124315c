"""Checks that gateway and Triton can hold the admitted calls."""

import math
from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.problem import Finding, derived, number, refuse
from config.sections.gateway import HEAP_SHARE
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.units import KIB_PER_MIB

MOST_CALLS = 1_000_000
"""Limit of calls at once through one gateway: with a window of 64 KiB each they take 61 GiB."""

BASE_MIB = 64
"""Memory of an Envoy without streams, MiB: 27 MiB measured after 50,000 calls, and a margin."""


def buffered_streams(stack: InferenceStack) -> int:
    """Return the streams of one gateway that can hold buffers: they are admitted, and can arrive.

    Envoy refuses a call on its headers alone, and buffers none of it.
    """
    arriving = stack.traffic.client_connections * stack.max_concurrent_streams
    admitted = stack.admitted(stack.surge_replicas) // stack.gateway.replicas
    # Guaranteed calls have limits of their own, as large as those of the others.
    return min(arriving, 2 * admitted if stack.fair_shares else admitted)


def buffer_mib(stack: InferenceStack) -> float:
    """Return the memory of one gateway's buffers, MiB: a window per stream in each direction."""
    return 2 * buffered_streams(stack) * stack.stream_window_kib / KIB_PER_MIB


def _window(at: StackAt) -> dict[str, object]:
    """Return the window of a stream, and the message that it derives from."""
    key, traffic = at.key("gateway.streamWindowKib"), at.stack.traffic
    if at.stack.gateway.stream_window_kib:
        return {key: at.stack.stream_window_kib}
    sizes = {"requestKib": traffic.request_kib, "responseKib": traffic.response_kib}
    larger = max(sizes, key=lambda name: sizes[name])
    return {
        derived(key): at.stack.stream_window_kib,
        at.key(f"traffic.{larger}"): sizes[larger],
    }


@refuse
def gateway_memory(settings: Settings) -> Iterator[Finding]:
    """A gateway's heap holds all windows that can be full at once."""
    for at in stacks(settings):
        gateway = at.stack.gateway
        needed = math.ceil((BASE_MIB + buffer_mib(at.stack)) / HEAP_SHARE)
        key = at.key("gateway.memoryMib")
        if needed > gateway.memory_mib:
            yield Finding(
                keys={
                    key: gateway.memory_mib,
                    **_window(at),
                    derived(at.key("gateway.admittedStreams")): buffered_streams(at.stack),
                },
                reason=(
                    f"{buffered_streams(at.stack)} streams x {at.stack.stream_window_kib} KiB in "
                    f"each direction take {number(buffer_mib(at.stack))} MiB; with {BASE_MIB} MiB "
                    f"for Envoy itself that exceeds its heap, {HEAP_SHARE:.0%} of "
                    f"{gateway.memory_mib} MiB: Envoy would shed load, or be killed"
                ),
                change={key: needed},
            )


@refuse
def gateway_calls(settings: Settings) -> Iterator[Finding]:
    """One Envoy can hold the limit that is derived for it."""
    for at in stacks(settings):
        stack, traffic = at.stack, at.stack.traffic
        derived_calls = max(stack.max_requests, stack.max_pending_requests)
        if derived_calls <= MOST_CALLS:
            continue
        key = at.key("gateway.replicas")
        yield Finding(
            keys={
                at.key("traffic.parallelism"): traffic.parallelism,
                at.key("traffic.serviceTimeSeconds"): traffic.service_time_seconds,
                at.key("traffic.deadlineSeconds"): traffic.deadline_seconds,
                at.key("autoscaler.maxReplicas"): stack.autoscaler.max_replicas,
                key: stack.gateway.replicas,
                derived(at.key("gateway.maxRequests")): derived_calls,
            },
            reason=(
                f"one gateway would admit {derived_calls} calls at once, but Envoy holds no more "
                f"than {MOST_CALLS}"
            ),
            fix="set the real service time and parallelism of a call, or fewer streamsPerPod",
        )


@refuse
def message_sizes(settings: Settings) -> Iterator[Finding]:
    """A mean message is no larger than the largest one."""
    for at in stacks(settings):
        traffic = at.stack.traffic
        for name, mean, largest in (
            ("Request", traffic.request_kib, traffic.max_request_kib),
            ("Response", traffic.response_kib, traffic.max_response_kib),
        ):
            if mean > largest:
                key = at.key(f"traffic.{name.lower()}Kib")
                limit = at.key(f"traffic.max{name}Kib")
                yield Finding(
                    keys={key: mean, limit: largest},
                    reason=(
                        f"messages of {number(mean)} KiB on average exceed the largest one, "
                        f"{largest} KiB"
                    ),
                    change={key: largest},
                )


@refuse
def triton_queue(settings: Settings) -> Iterator[Finding]:
    """Triton queues all calls that the gateways admit per replica."""
    for at in stacks(settings):
        stack = at.stack
        fewest = stack.autoscaler.min_replicas
        per_replica = math.ceil(stack.gateway.replicas * stack.active_limit(fewest) / fewest)
        room = stack.triton.queue_size + stack.traffic.parallelism
        key = at.key("triton.queueSize")
        if per_replica > room:
            yield Finding(
                keys={
                    key: stack.triton.queue_size,
                    at.key("traffic.parallelism"): stack.traffic.parallelism,
                    derived(at.key("gateway.inFlight.callsPerReplica")): per_replica,
                },
                reason=(
                    f"the gateways may send {per_replica} calls to one replica, which works on "
                    f"{stack.traffic.parallelism} and queues {stack.triton.queue_size}: Triton "
                    "refuses calls that the gateways have admitted, and the scaler does not see it"
                ),
                change={key: per_replica - stack.traffic.parallelism},
            )


SERVER_MIB = 128
"""Memory of Triton, one small python model and the watchdog, MiB; measured at 90 MiB idle."""

PYTHON_REGION_MIB = 1
"""Shared memory that the python backend takes for itself, and the step of its growth, MiB
(`shm-default-byte-size`, `shm-growth-byte-size`)."""


def tensors_mib(stack: InferenceStack) -> float:
    """Return the largest shared memory of one replica's tensors, MiB.

    The python backend keeps the inputs of a call there while the model holds the call, in its own
    queue too, and the outputs while it answers the call. Measured with Triton 2.51 and
    64 MiB: of 64 calls at once all of 980 KiB were answered, and 17 of 1,500 KiB failed.
    """
    traffic = stack.traffic
    requests = stack.calls_in_replica * traffic.max_request_kib
    return (requests + traffic.parallelism * traffic.max_response_kib) / KIB_PER_MIB


@refuse
def shared_memory(settings: Settings) -> Iterator[Finding]:
    """The memory limit covers shared memory, the server and its messages."""
    for at in stacks(settings):
        stack, triton = at.stack, at.stack.triton
        shm, memory = at.key("triton.shmMib"), at.key("triton.memoryMib")
        # Triton holds its own message of each call, beside the tensors in shared memory.
        messages = math.ceil(tensors_mib(stack))
        needed = triton.shm_mib + SERVER_MIB + messages
        if needed > triton.memory_mib:
            yield Finding(
                keys={
                    shm: triton.shm_mib,
                    memory: triton.memory_mib,
                    derived(at.key("triton.callsAtOnce")): stack.calls_in_replica,
                },
                reason=(
                    f"{triton.shm_mib} MiB of shared memory count against the memory limit; with "
                    f"{SERVER_MIB} MiB for the server and {messages} MiB for the largest "
                    f"messages of {stack.calls_in_replica} calls that is {needed} MiB, of "
                    f"{triton.memory_mib}: the kernel would kill the replica"
                ),
                change={memory: needed},
            )


@refuse
def largest_calls(settings: Settings) -> Iterator[Finding]:
    """Shared memory holds the largest calls, as many as one replica holds at once."""
    for at in stacks(settings):
        stack, traffic = at.stack, at.stack.traffic
        needed = math.ceil(PYTHON_REGION_MIB + tensors_mib(stack))
        if needed > stack.triton.shm_mib:
            shm, memory = at.key("triton.shmMib"), at.key("triton.memoryMib")
            request = at.key("traffic.maxRequestKib")
            free = (stack.triton.shm_mib - PYTHON_REGION_MIB) * KIB_PER_MIB
            answers = traffic.parallelism * traffic.max_response_kib
            fitting = (free - answers) / stack.calls_in_replica
            room = stack.triton.memory_mib - stack.triton.shm_mib
            yield Finding(
                keys={
                    shm: stack.triton.shm_mib,
                    request: traffic.max_request_kib,
                    at.key("traffic.maxResponseKib"): traffic.max_response_kib,
                    derived(at.key("triton.callsAtOnce")): stack.calls_in_replica,
                },
                reason=(
                    f"{stack.calls_in_replica} calls active or queued in one replica x "
                    f"{traffic.max_request_kib} KiB and {traffic.parallelism} answered at once x "
                    f"{traffic.max_response_kib} KiB need {needed} MiB of shared memory, of "
                    f"{stack.triton.shm_mib}: calls to the python backend would fail"
                ),
                fix=(
                    f"set {shm} to {needed} and {memory} to {needed + room}; or make "
                    f"{request} at most {max(1, math.floor(fitting))}"
                ),
                change={shm: needed, memory: needed + room},
            )
