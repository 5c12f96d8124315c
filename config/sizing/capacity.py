"""Capacity of a stack, in numbers: printed at preview, and part of the outputs."""

import math
from dataclasses import dataclass

from config.sections.autoscaler import HPA_SYNC_SECONDS
from config.sections.gateway_tls import SECRET_LAG_SECONDS
from config.sections.gpu_sharing import GpuSharing
from config.sections.inference import InferenceStack
from config.sections.triton import PULL_SECONDS
from config.settings import Settings
from config.sizing.packing import nodes_needed
from config.sizing.scaling import growth

BURST_CALLS = 50_000
"""Calls of the burst that the summary answers for: the baseline's orchestrator issues so many."""

WORKER_CALLS_PER_SECOND = 25_000.0
"""Calls per second that one gateway's worker takes, nearly all of them refused (measured: 25,000 to
28,000 on one connection, with messages of less than 1 KiB); so a burst on one connection arrives at
this rate at most."""

WORKER_ANSWERS_PER_SECOND = 10_000.0
"""Calls per second that one gateway's worker brings to a replica and back (measured: 73 to 101 us
of CPU for a call with messages of 1 kB; docs/measured.md, "Envoy's price of a call")."""

WORKER_KIB_PER_SECOND = 512.0 * 1024
"""KiB per second that one worker moves in both directions (measured: 3.0 and 3.7 ms of CPU for a
call with 1 MB each way; docs/measured.md). A call with a message of 600 KiB takes it 1.2 ms."""

_MEASURED_KIB = 2.0
"""KiB of one call's two messages that the two numbers of calls include."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Capacity of a stack with a number of replicas ready."""

    replicas: int
    """Triton replicas."""

    in_flight: int
    """Calls in flight that all gateways admit at most, those waiting for a stream left out."""

    in_flight_per_connection: int
    """Calls in flight of one client connection, which lives on one gateway."""

    calls_per_second: float
    """Unary calls per second that the fleet answers."""

    burst_ok: int
    """Calls of a burst of `BURST_CALLS` on one connection that are answered within the deadline."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Capacity of one inference stack at its smallest and at its largest."""

    least: Fleet
    """At min replicas."""

    most: Fleet
    """At max replicas."""

    gpus: int
    """GPUs (or shares of shared ones) that the largest fleet takes."""

    spare_gpus: int
    """GPUs (or shares of shared ones) that the warm spares hold idle."""

    spare_seconds: float
    """Time by which a replica starts earlier on the room of a warm spare."""

    nodes: int
    """GPU nodes that the largest fleet and its warm spares take, had they nodes of their own."""

    nodes_in_rollout: int
    """The same with one rollout's surge."""

    growth: tuple[int, ...]
    """Replicas after each HPA sync under a lasting overload, min first; pods count as ready."""


def worker_calls_per_second(stack: InferenceStack, small: float = WORKER_CALLS_PER_SECOND) -> float:
    """Return the unary calls per second of one gateway's worker, by the messages' size.

    Args:
        stack: The inference stack.
        small: Calls per second with small messages.
    """
    moved = stack.traffic.request_kib + stack.traffic.response_kib
    seconds = max(0.0, moved - _MEASURED_KIB) / WORKER_KIB_PER_SECOND
    return 1 / (1 / small + seconds)


def fleet_calls_per_second(stack: InferenceStack, replicas: int, in_flight: int) -> float:
    """Unary calls per second of a fleet that may have so many calls in flight.

    The replicas bound it, or the limit does (fewer calls in flight than the replicas work on at
    once leave some of them idle), or the gateways' one worker each.
    """
    busy = min(in_flight, replicas * stack.traffic.parallelism)
    by_replicas = busy / stack.traffic.service_time_seconds
    by_worker = worker_calls_per_second(stack, WORKER_ANSWERS_PER_SECOND)
    return min(by_replicas, stack.gateway.replicas * by_worker)


def burst_ok(
    stack: InferenceStack,
    replicas: int,
    *,
    calls: int = BURST_CALLS,
    issue_seconds: float | None = None,
) -> int:
    """Calls of a burst on one connection that are answered in time, with so many pods ready.

    While the burst arrives, the fleet answers what it can; what one gateway admits (in flight and
    waiting) is still to be answered when the last call has arrived, and is, as far as the deadline
    allows. The rest is refused at once. The fleet does not grow within a burst.

        ok = min(calls, rate x issue_seconds + min(admitted, rate x deadline))

    Args:
        stack: The inference stack.
        replicas: Triton pods that are ready, and stay so.
        calls: Calls in the burst.
        issue_seconds: Time over which they arrive, evenly; if None, as fast as one gateway takes
            them.
    """
    if issue_seconds is None:
        issue_seconds = calls / worker_calls_per_second(stack)
    limit = stack.caller_limit(replicas)
    waiting = stack.admitted(replicas) // stack.gateway.replicas - stack.active_limit(replicas)
    in_flight = min(limit, stack.max_concurrent_streams)
    admitted = min(limit + waiting, stack.max_concurrent_streams)
    rate = fleet_calls_per_second(stack, replicas, in_flight)
    left = min(admitted, rate * stack.traffic.deadline_seconds)
    return min(calls, math.floor(rate * issue_seconds + left))


def _fleet(stack: InferenceStack, replicas: int) -> Fleet:
    in_flight = stack.gateway.replicas * stack.active_limit(replicas)
    return Fleet(
        replicas=replicas,
        in_flight=in_flight,
        in_flight_per_connection=min(stack.caller_limit(replicas), stack.max_concurrent_streams),
        calls_per_second=fleet_calls_per_second(stack, replicas, in_flight),
        burst_ok=burst_ok(stack, replicas),
    )


def capacity(settings: Settings, stack: InferenceStack) -> Capacity:
    """Work out what a stack can carry; the settings must have passed the checks.

    Args:
        settings: All parameters.
        stack: One of their inference stacks.
    """
    scaler = stack.autoscaler
    spares = stack.triton.warm_spare.replicas
    alone = settings.model_copy(update={"inference": (stack,)})
    return Capacity(
        least=_fleet(stack, scaler.min_replicas),
        most=_fleet(stack, scaler.max_replicas),
        gpus=scaler.max_replicas * stack.triton.gpus,
        spare_gpus=spares * stack.triton.gpus,
        # The placeholder's node runs, and has pulled Triton's image.
        spare_seconds=settings.gpu_nodes.pool.node_start_seconds + PULL_SECONDS,
        nodes=nodes_needed(alone, lambda one: one.autoscaler.max_replicas + spares),
        nodes_in_rollout=nodes_needed(alone, lambda one: one.placed_replicas),
        growth=growth(stack),
    )


def summary(settings: Settings, stack: InferenceStack) -> str:
    """Say a stack's capacity in a few lines."""
    can = capacity(settings, stack)
    least, most = can.least, can.most
    syncs = len(can.growth) - 1
    deadline = stack.traffic.deadline_seconds
    issue = worker_calls_per_second(stack)
    return "\n".join(
        (
            f"capacity of {stack.deployment_name} in {stack.namespace}:",
            f"  replicas    {least.replicas} to {most.replicas}, in at least {syncs} HPA "
            f"sync{'' if syncs == 1 else 's'} of {HPA_SYNC_SECONDS:.0f} s under a lasting overload "
            f"(signal {stack.autoscaler.signal.kind})",
            f"  GPUs        {can.gpus} {_shares(settings.gpu_sharing)}at most, on "
            f"{can.nodes} nodes ({can.nodes_in_rollout} in a rollout)",
            *_spare_lines(stack, can, settings.gpu_sharing),
            f"  in flight   {least.in_flight:,} to {most.in_flight:,} calls, of one connection "
            f"{least.in_flight_per_connection:,} to {most.in_flight_per_connection:,}",
            f"  requests/s  {least.calls_per_second:,.0f} to {most.calls_per_second:,.0f}",
            f"  burst       of {BURST_CALLS:,} calls on one connection at {issue:,.0f}/s, about "
            f"{least.burst_ok:,} to {most.burst_ok:,} are answered within {deadline:g} s; "
            "the rest is refused at once",
            *_client_lines(stack),
        )
    )


def _client_lines(stack: InferenceStack) -> list[str]:
    if not stack.gateway.tls.clients:
        return []
    removed = SECRET_LAG_SECONDS + stack.longest_connection_seconds
    return [
        f"  clients     need a certificate; the last call of one whose CA is removed ends within "
        f"{removed:,.0f} s (maxConnectionSeconds {stack.max_connection_seconds:g})"
    ]


def _shares(sharing: GpuSharing) -> str:
    shared = sharing.per_gpu > 1
    return f"{sharing.shares} ({sharing.per_gpu} of each GPU) " if shared else ""


def _spare_lines(stack: InferenceStack, can: Capacity, sharing: GpuSharing) -> list[str]:
    spares = stack.triton.warm_spare.replicas
    if not spares:
        return []
    return [
        f"  warm spares {spares}, which hold {can.spare_gpus} {sharing.shares} idle; a replica in "
        f"the place of one starts up to {can.spare_seconds:g} s earlier (no node start, no pull of "
        "its image)"
    ]
