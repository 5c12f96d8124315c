"""Checks that the signal can grow the fleet from min to max.

Every size of the fleet counts: a limit that follows the fleet bounds the calls of each pod, so a
limit that is high enough in total at 20 replicas may hold the fleet at 2.
"""

import math
from collections.abc import Callable, Iterator, Mapping

from config.checks.limits import both_bounds, limit_keys
from config.checks.stack_paths import StackAt, first_passing, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.schema.overrides import with_overrides
from config.sections.autoscaler import HPA_SYNC_SECONDS, HPA_TOLERANCE
from config.sections.gateway import StaticLimit
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.sizing.hpa import grows, growth_needs, shown_in_flight
from config.sizing.scaling import (
    first_overloaded_size,
    first_stuck_size,
    first_unobservable_size,
    growth,
    reaches,
    static_bounds,
)
from config.units import EPSILON


def _signal_keys(at: StackAt) -> dict[str, object]:
    streams = at.key("gateway.maxConcurrentStreams")
    if at.stack.gateway.max_concurrent_streams is None:
        streams = derived(streams)
    return {
        at.key("autoscaler.signal.kind"): at.stack.autoscaler.signal.kind,
        **limit_keys(at),
        at.key("autoscaler.threshold"): at.stack.autoscaler.threshold,
        at.key("traffic.clientConnections"): at.stack.traffic.client_connections,
        at.key("gateway.replicas"): at.stack.gateway.replicas,
        streams: at.stack.max_concurrent_streams,
    }


def _reach_fix(
    settings: Settings, at: StackAt, passes: Callable[[InferenceStack], bool]
) -> Mapping[str, object]:
    limit = at.stack.gateway.in_flight
    candidates: list[Mapping[str, object]] = [{at.key("gateway.maxConcurrentStreams"): None}]
    # By kind: a fix changes the key of the limit's own kind.
    if isinstance(limit, StaticLimit):
        candidates.append({at.key("gateway.inFlight.maxRequests"): static_bounds(at.stack)[0]})
        candidates.append({at.key("gateway.inFlight"): {"kind": "fleet"}})
    else:
        reached = min(at.stack.traffic.client_connections, at.stack.gateway.replicas)
        streams = math.floor(growth_needs(at.stack.autoscaler, 1) * (1 + EPSILON) / reached) + 1
        candidates.append({at.key("gateway.inFlight.streamsPerPod"): streams})
    candidates.append({at.key("autoscaler.signal.kind"): "demand"})
    candidates.append({at.key("autoscaler.threshold"): _highest_threshold(at.stack)})

    def survives(after: Settings) -> bool:
        stack = after.inference[at.index]
        return passes(stack) and first_overloaded_size(stack) is None

    return first_passing(settings, candidates, survives)


def _highest_threshold(stack: InferenceStack) -> float:
    scaler = stack.autoscaler
    per_replica = min(
        shown_in_flight(stack, replicas) / replicas
        for replicas in range(scaler.min_replicas, scaler.max_replicas)
    )
    highest = per_replica / (1 + HPA_TOLERANCE)
    # Strictly below: at the bound itself the HPA does not move.
    whole = math.ceil(highest) - 1
    return whole if whole >= 1 else math.floor(highest * 99) / 100


def _connections(stack: InferenceStack) -> str:
    count = stack.traffic.client_connections
    return "one client connection can" if count == 1 else f"{count} client connections can"


def _way(path: tuple[int, ...]) -> str:
    sizes = [size for n, size in enumerate(path) if n == 0 or size != path[n - 1]]
    syncs = len(path) - 1
    plural = "" if syncs == 1 else "s"
    return f"{' -> '.join(map(str, sizes))} in {syncs} HPA sync{plural} of {HPA_SYNC_SECONDS:.0f} s"


@refuse
def reach(settings: Settings) -> Iterator[Finding]:
    """Signal `inFlight`: at every size below max, enough can be in flight to ask for more."""
    for at in stacks(settings):
        stack, scaler = at.stack, at.stack.autoscaler
        stuck = None if scaler.signal.counts_refusals else first_stuck_size(stack)
        if stuck is None:
            continue
        path = growth(stack)
        if path[-1] < scaler.max_replicas:
            course = f"From {path[0]} the fleet stays there: "
            if len(path) > 1:
                course = f"From {path[0]} it grows {_way(path)} and stays: "
            course += f"{scaler.max_replicas} is never requested."
        else:
            course = (
                f"From {path[0]} it may skip that size ({_way(path)}), "
                f"but a fleet that has {stuck} for any other reason stays at {stuck}."
            )
        # By kind: only one number for all sizes has bounds on both sides.
        if isinstance(stack.gateway.in_flight, StaticLimit):
            course += both_bounds(at)
        change = _reach_fix(settings, at, reaches)
        if change:
            fixed = with_overrides(settings, change).inference[at.index]
            course += f" With the fix it grows {_way(growth(fixed))}."
        yield Finding(
            keys=_signal_keys(at),
            reason=(
                f"with {stuck} replicas ready, {_connections(stack)} "
                f"show at most {shown_in_flight(stack, stuck)} calls in flight, but "
                f"the HPA grows a fleet of {stuck} only above {number(scaler.threshold)} x {stuck} "
                f"x {1 + HPA_TOLERANCE:g} = {number(growth_needs(scaler, stuck))}. {course}"
            ),
            change=change,
            fix="" if change else "raise the limit and the deadline, or lower the threshold",
        )


@warn
def reach_placement(settings: Settings) -> Iterator[Finding]:
    """Signal `inFlight`: the same holds if all client connections land on one gateway."""
    for at in stacks(settings):
        stack, scaler = at.stack, at.stack.autoscaler
        if scaler.signal.counts_refusals or first_stuck_size(stack) is not None:
            continue
        stuck = first_stuck_size(stack, gateways=1)
        if stuck is None:
            continue
        yield Finding(
            keys=_signal_keys(at),
            reason=(
                f"the fleet reaches max only while the {stack.traffic.client_connections} "
                f"connections are spread over the gateways: if all land on one, {stuck} "
                f"replicas show at most {shown_in_flight(stack, stuck, gateways=1)} calls in "
                f"flight and the fleet stays at {stuck} (growth needs more than "
                f"{number(growth_needs(scaler, stuck))})"
            ),
            change={at.key("autoscaler.signal.kind"): "demand"},
        )


@refuse
def client_streams(settings: Settings) -> Iterator[Finding]:
    """Signal `demand`: calls beyond the limit reach the gateway, which refuses and counts them.

    Calls beyond a connection's streams wait inside the client, where no metric shows them.
    """
    for at in stacks(settings):
        stack, scaler = at.stack, at.stack.autoscaler
        stuck = first_unobservable_size(stack) if scaler.signal.counts_refusals else None
        if stuck is None:
            continue
        admitted = stack.admitted(stuck) // stack.gateway.replicas
        yield Finding(
            keys=_signal_keys(at),
            reason=(
                f"with {stuck} replicas ready, a gateway admits {admitted} calls, as many as its "
                f"connections can carry: it never refuses a call, further calls wait unseen in "
                f"the client, and the {shown_in_flight(stack, stuck)} in flight do not exceed "
                f"the {number(growth_needs(scaler, stuck))} above which the fleet grows"
            ),
            change={at.key("gateway.maxConcurrentStreams"): None},
        )


@warn
def reach_refusals(settings: Settings) -> Iterator[Finding]:
    """Signal `demand`: if calls in flight are too few, only refusals make the fleet grow."""
    for at in stacks(settings):
        stack, scaler = at.stack, at.stack.autoscaler
        if not scaler.signal.counts_refusals or first_unobservable_size(stack) is not None:
            continue
        rates = {
            replicas: (growth_needs(scaler, replicas) - shown) / stack.refused_seconds
            for replicas in range(scaler.min_replicas, scaler.max_replicas)
            if not grows(scaler, replicas, shown := shown_in_flight(stack, replicas))
        }
        if not rates:
            continue
        worst = max(rates, key=lambda replicas: rates[replicas])
        change = _reach_fix(settings, at, lambda stack: first_stuck_size(stack) is None)
        yield Finding(
            keys=_signal_keys(at),
            reason=(
                f"with {worst} replicas ready, at most {shown_in_flight(stack, worst)} calls are "
                f"in flight through the client connections, but growth needs more than "
                f"{number(growth_needs(scaler, worst))}: the fleet grows only while more than "
                f"{number(rates[worst])} calls/s are refused"
            ),
            change=change,
            fix="" if change else "raise the limit and the deadline, or lower the threshold",
        )
