"""Descriptions of the in-flight limit, for the checks of reach and survival."""

from config.checks.stack_paths import StackAt
from config.problem import derived
from config.sections.gateway import StaticLimit
from config.sizing.scaling import static_bounds


def limit_keys(at: StackAt) -> dict[str, object]:
    """Return the key and the value of the limit."""
    limit = at.stack.gateway.in_flight
    # By kind: the keys in a message depend on other sections too.
    if isinstance(limit, StaticLimit):
        return {at.key("gateway.inFlight.maxRequests"): limit.max_requests}
    streams = at.key("gateway.inFlight.streamsPerPod")
    if limit.streams_per_pod is None:
        streams = derived(streams)
    return {streams: at.stack.streams_per_pod}


def both_bounds(at: StackAt) -> str:
    """Describe the static limits that would reach max, and those that would survive at min."""
    scaler, gateways = at.stack.autoscaler, at.stack.gateway.replicas
    least_number, most = static_bounds(at.stack)
    per = f" on each of {gateways} gateways" if gateways > 1 else ""
    return (
        f" A static limit would have to be at least {least_number} to reach "
        f"{scaler.max_replicas} and at most {most}{per} to survive at {scaler.min_replicas}."
    )
