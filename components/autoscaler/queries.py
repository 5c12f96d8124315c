"""The one load metric: the PromQL by which the scaler asks Prometheus."""

from components.gateway.envoy.stats import (
    ACTIVE_OVERFLOW,
    CLUSTER_LABEL,
    PENDING_OVERFLOW,
    REQUESTS_ACTIVE,
    REQUESTS_WAITING,
    selector,
)
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus


def fleet_selector(stack: InferenceStack, prometheus: Prometheus) -> str:
    """Return the PromQL selector of the series that a stack's gateways have of its fleet.

    Args:
        stack: The inference stack.
        prometheus: The Prometheus that KEDA asks, which may have series of several clusters.
    """
    namespace = {prometheus.namespace_label: stack.namespace}
    return selector({CLUSTER_LABEL: stack.envoy_cluster, **namespace, **prometheus.matchers})


def in_flight(fleet: str) -> str:
    """Return PromQL for the calls in flight from all gateways to one fleet.

    The text is the baseline's, but for the selector. While no gateway is scraped the result is
    empty, which KEDA treats as an error.

    Args:
        fleet: Selector of the fleet's series.
    """
    return f"sum({REQUESTS_ACTIVE}{fleet})"


def demand(fleet: str, refused_seconds: float, rate_window_seconds: float) -> str:
    """Return PromQL for the calls in flight, and those that would be if none had been refused.

    Refusals per second x time with a replica are calls in flight (Little's law). The refusals
    default to zero, because Envoy may export no series before the first one. The calls in flight
    have no default, so lost metrics never look like no load. The result has one element or none.

    Args:
        fleet: Selector of the fleet's series.
        refused_seconds: Time that a refused call would have spent with a replica.
        rate_window_seconds: Window of the refusal rate; holds at least two scrapes.
    """
    refused = refusals(fleet, rate_window_seconds)
    return f"{in_flight(fleet)} + {refused_seconds!r} * ({refused})"


def refusals(fleet: str, rate_window_seconds: float) -> str:
    """Return PromQL for the calls per second that the gateways refuse; 0 before the first.

    Args:
        fleet: Selector of the fleet's series.
        rate_window_seconds: Window of the rate; holds at least two scrapes.
    """
    # Two sums: rate() drops the metric's name, so the series of both names would collide in one.
    return " + ".join(
        f"({per_second(counter + fleet, rate_window_seconds)} or vector(0))"
        for counter in (ACTIVE_OVERFLOW, PENDING_OVERFLOW)
    )


def per_second(series: str, rate_window_seconds: float) -> str:
    """Return PromQL for the summed rate of counters; its result is empty while none exists.

    Args:
        series: Selector of the counters, all of one name.
        rate_window_seconds: Window of the rate; holds at least two scrapes.
    """
    return f"sum(rate({series}[{_duration(rate_window_seconds)}]))"


def signal(stack: InferenceStack, fleet: str, prometheus: Prometheus) -> str:
    """Return PromQL for the load of a fleet, by the stack's `autoscaler.signal`.

    Args:
        stack: The inference stack.
        fleet: Selector of the fleet's series.
        prometheus: The Prometheus that scrapes it.
    """
    # PromQL is the scaler's: a section of the parameters writes none.
    if not stack.autoscaler.signal.counts_refusals:
        return in_flight(fleet)
    query = demand(fleet, stack.refused_seconds, stack.rate_window_seconds(prometheus))
    # Without shares the queue is in the replicas, whose calls are in flight.
    return f"sum({REQUESTS_WAITING}{fleet}) + {query}" if stack.fair_shares else query


def scaler_query(stack: InferenceStack, prometheus: Prometheus) -> str:
    """Return the PromQL of a stack's scaler.

    Args:
        stack: The inference stack.
        prometheus: The Prometheus that KEDA asks.
    """
    return signal(stack, fleet_selector(stack, prometheus), prometheus)


def _duration(seconds: float) -> str:
    """Return a PromQL duration, which has no fractions of a unit."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
