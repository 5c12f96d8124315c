"""The one load metric: what the scaler asks Prometheus for."""

from components.gateway.envoy.stats import (
    ACTIVE_OVERFLOW,
    CLUSTER_LABEL,
    PENDING_OVERFLOW,
    REQUESTS_ACTIVE,
)
from config.sections.inference import InferenceStack


def in_flight(envoy_cluster: str) -> str:
    """PromQL for the calls in flight from all gateways to one fleet; the seed's text.

    Nothing at all, which the scaler takes for an error, while no gateway is scraped.

    Args:
        envoy_cluster: name of Envoy's cluster.
    """
    return f"sum({REQUESTS_ACTIVE}{_of(envoy_cluster)})"


def demand(envoy_cluster: str, refused_seconds: float, rate_window_seconds: float) -> str:
    """PromQL for the calls in flight plus those that would be, had they not been refused.

    Refusals per second x time with a replica are calls in flight (Little's law). The refusals have
    a zero of their own, because their series may be missing until the first; the calls in flight
    have none, so lost metrics never look like no load. One element or none, always.

    Args:
        envoy_cluster: name of Envoy's cluster.
        refused_seconds: time that a refused call would have spent with a replica.
        rate_window_seconds: window of the refusal rate; holds at least two scrapes.
    """
    refused = refusals(envoy_cluster, rate_window_seconds)
    return f"{in_flight(envoy_cluster)} + {refused_seconds!r} * ({refused})"


def refusals(envoy_cluster: str, rate_window_seconds: float) -> str:
    """PromQL for the calls per second that the gateways refuse; 0 where no series is there yet.

    Args:
        envoy_cluster: name of Envoy's cluster.
        rate_window_seconds: window of the rate; holds at least two scrapes.
    """
    # Two sums: rate() drops the metric's name, so one over both names has series that collide.
    return " + ".join(
        f"({per_second(counter + _of(envoy_cluster), rate_window_seconds)} or vector(0))"
        for counter in (ACTIVE_OVERFLOW, PENDING_OVERFLOW)
    )


def per_second(series: str, rate_window_seconds: float) -> str:
    """PromQL for what counters count a second, all together; nothing while none is there.

    Args:
        series: selector of the counters, all of one name.
        rate_window_seconds: window of the rate; holds at least two scrapes.
    """
    return f"sum(rate({series}[{_duration(rate_window_seconds)}]))"


def scaler_query(stack: InferenceStack, rate_window_seconds: float) -> str:
    """PromQL that a stack's scaler asks, by its `autoscaler.signal`.

    Args:
        stack: the inference stack.
        rate_window_seconds: window of the refusal rate, `Settings.rate_window_seconds(stack)`.
    """
    if stack.autoscaler.signal == "inFlight":
        return in_flight(stack.envoy_cluster)
    return demand(stack.envoy_cluster, stack.refused_seconds, rate_window_seconds)


def _of(envoy_cluster: str) -> str:
    return f'{{{CLUSTER_LABEL}="{envoy_cluster}"}}'


def _duration(seconds: float) -> str:
    """PromQL knows no fractions of a unit."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
