"""Checks that a small fleet answers its admitted calls while it grows."""

from collections.abc import Iterator, Mapping

from config.checks.limits import both_bounds, limit_keys
from config.checks.stack_paths import StackAt, first_passing, smallest_passing, stacks
from config.problem import Finding, derived, number, refuse
from config.sections.gateway import FleetLimit
from config.settings import Settings
from config.sizing.scaling import answer_seconds, first_overloaded_size, reaches, static_bounds


def _survival_fix(settings: Settings, at: StackAt) -> Mapping[str, object]:
    stack = at.stack

    def passes(after: Settings) -> bool:
        stack = after.inference[at.index]
        return reaches(stack) and first_overloaded_size(stack) is None

    def search(path: str, numbers: range) -> Mapping[str, object]:
        return smallest_passing(
            settings,
            at.key(path),
            numbers,
            lambda after: first_overloaded_size(after.inference[at.index]) is None,
        )

    limit = stack.gateway.in_flight
    candidates: list[Mapping[str, object]] = []
    # By kind: a fix changes the key of the limit's own kind.
    if isinstance(limit, FleetLimit):
        streams = at.key("gateway.inFlight.streamsPerPod")
        pending = at.key("gateway.inFlight.maxPendingRequests")
        candidates += [{pending: None}, {streams: None}, {streams: None, pending: None}]
        candidates.append(search("gateway.inFlight.streamsPerPod", _down(stack.streams_per_pod)))
    else:
        candidates.append({at.key("gateway.inFlight.maxRequests"): static_bounds(stack)[1]})
        candidates.append({at.key("gateway.inFlight"): {"kind": "fleet"}})
    candidates.append(search("gateway.replicas", _down(stack.gateway.replicas)))
    candidates.append(search("traffic.parallelism", range(1, 1025)))
    return first_passing(settings, (change for change in candidates if change), passes)


def _down(value: int | None) -> range:
    return range(value or 1, 0, -1)


@refuse
def survival(settings: Settings) -> Iterator[Finding]:
    """At every size, Triton answers all admitted calls within the deadline."""
    for at in stacks(settings):
        stack, traffic = at.stack, at.stack.traffic
        size = first_overloaded_size(stack)
        if size is None:
            continue
        limit = stack.gateway.in_flight
        keys = limit_keys(at)
        # By kind here and below: the message names the keys of the limit's own kind.
        if isinstance(limit, FleetLimit):
            pending = at.key("gateway.inFlight.maxPendingRequests")
            stated = limit.max_pending_requests is not None
            keys[pending if stated else derived(pending)] = stack.max_pending_requests
        bounds = "" if isinstance(limit, FleetLimit) else "." + both_bounds(at)
        admitted = stack.admitted(size)
        change = _survival_fix(settings, at)
        yield Finding(
            keys={
                **keys,
                at.key("gateway.replicas"): stack.gateway.replicas,
                at.key("traffic.deadlineSeconds"): traffic.deadline_seconds,
                at.key("traffic.serviceTimeSeconds"): traffic.service_time_seconds,
                at.key("traffic.parallelism"): traffic.parallelism,
                at.key("autoscaler.minReplicas"): stack.autoscaler.min_replicas,
            },
            reason=(
                f"with {size} replicas ready, the gateways admit {admitted} calls at once; "
                f"{number(admitted / size)} per replica x "
                f"{number(traffic.service_time_seconds)} s / {traffic.parallelism} at a time take "
                f"{number(answer_seconds(stack, size))} s, beyond the deadline of "
                f"{number(traffic.deadline_seconds)} s: under overload every answer is too late"
                f"{bounds}"
            ),
            change=change,
            fix="" if change else "raise the deadline, or admit fewer calls",
        )
