"""Growth and survival of a fleet at every size, by its limits and its signal."""

import math

from config.sections.inference import InferenceStack
from config.sizing.hpa import grows, growth_needs, shown_in_flight, simulate
from config.units import EPSILON


def growth(stack: InferenceStack) -> tuple[int, ...]:
    """Replicas after each HPA sync under a lasting overload, min first; see `simulate`.

    What is refused counts as any number under signal `demand`: an overload has no bound.
    """
    if stack.autoscaler.signal.counts_refusals:
        return simulate(stack.autoscaler, lambda _: math.inf)
    return simulate(stack.autoscaler, lambda replicas: shown_in_flight(stack, replicas))


def first_stuck_size(stack: InferenceStack, *, gateways: int | None = None) -> int | None:
    """First size at which the calls in flight alone cannot make the HPA grow the fleet; or None."""
    scaler = stack.autoscaler
    for replicas in range(scaler.min_replicas, scaler.max_replicas):
        if not grows(scaler, replicas, shown_in_flight(stack, replicas, gateways=gateways)):
            return replicas
    return None


def can_refuse(stack: InferenceStack, replicas: int) -> bool:
    """Return True if the connections carry more calls than a gateway admits, so it can refuse."""
    gateways = min(stack.traffic.client_connections, stack.gateway.replicas)
    arriving = stack.max_concurrent_streams * math.ceil(stack.traffic.client_connections / gateways)
    return arriving > stack.admitted(replicas) // stack.gateway.replicas


def first_unobservable_size(stack: InferenceStack) -> int | None:
    """First size at which neither calls in flight nor refusals can ask for more; or None."""
    scaler = stack.autoscaler
    for replicas in range(scaler.min_replicas, scaler.max_replicas):
        shown = shown_in_flight(stack, replicas)
        if not grows(scaler, replicas, shown) and not can_refuse(stack, replicas):
            return replicas
    return None


def reaches(stack: InferenceStack) -> bool:
    """Return True if the stack's signal can grow the fleet from every size to max."""
    if stack.autoscaler.signal.counts_refusals:
        return first_unobservable_size(stack) is None
    return first_stuck_size(stack) is None


def answer_seconds(stack: InferenceStack, replicas: int) -> float:
    """Time until the last call is answered of all that the gateways admit at once."""
    return stack.admitted(replicas) / replicas / stack.traffic.replica_rps


def first_overloaded_size(stack: InferenceStack) -> int | None:
    """First size at which what is admitted cannot be answered within the deadline; or None."""
    scaler = stack.autoscaler
    for replicas in range(scaler.min_replicas, scaler.max_replicas + 1):
        if answer_seconds(stack, replicas) > stack.traffic.deadline_seconds * (1 + EPSILON):
            return replicas
    return None


def static_bounds(stack: InferenceStack) -> tuple[int, int]:
    """Smallest static limit per gateway that reaches max, and largest that survives at min."""
    scaler, gateways = stack.autoscaler, stack.gateway.replicas
    needed = growth_needs(scaler, scaler.max_replicas - 1) * (1 + EPSILON)
    reached = min(stack.traffic.client_connections, gateways)
    survives = stack.calls_per_deadline * scaler.min_replicas / gateways
    return math.floor(needed / reached) + 1, math.floor(survives * (1 + EPSILON))
