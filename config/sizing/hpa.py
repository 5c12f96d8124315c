"""The HPA's use of a signal: the rule by which it grows a fleet, and a simulation of it.

The rule is that of kube-controller-manager for an external metric of type AverageValue
(pkg/controller/podautoscaler/replica_calculator.go, GetExternalPerPodMetricReplicas): it asks for
ceil(signal / threshold), unless signal / (threshold x replicas) is within the tolerance.
"""

import math
from collections.abc import Callable

from config.sections.autoscaler import HPA_SYNC_SECONDS, HPA_TOLERANCE, Autoscaler
from config.sections.inference import InferenceStack
from config.units import EPSILON


def growth_needs(autoscaler: Autoscaler, replicas: int) -> float:
    """Signal that must be exceeded before the HPA grows a fleet of `replicas`."""
    return autoscaler.threshold * replicas * (1 + HPA_TOLERANCE)


def grows(autoscaler: Autoscaler, replicas: int, signal: float) -> bool:
    """Return True if the HPA grows a fleet of `replicas` that shows `signal`."""
    return signal > growth_needs(autoscaler, replicas) * (1 + EPSILON)


def shown_in_flight(stack: InferenceStack, replicas: int, *, gateways: int | None = None) -> int:
    """Most calls in flight that the scaler can see with `replicas` pods ready.

    A connection lives on one gateway pod, and one gateway never has more in flight than its own
    limit and its connections' streams.

    Args:
        stack: The inference stack.
        replicas: Triton pods that are ready.
        gateways: Gateway pods that the connections land on, spread evenly; as many as possible
            where None.
    """
    connections = stack.traffic.client_connections
    reached = min(connections, stack.gateway.replicas if gateways is None else gateways)
    share, extra = divmod(connections, reached)
    limit, streams = stack.active_limit(replicas), stack.max_concurrent_streams
    return extra * min(limit, (share + 1) * streams) + (reached - extra) * min(
        limit, share * streams
    )


def simulate(autoscaler: Autoscaler, signal: Callable[[int], float]) -> tuple[int, ...]:
    """Let the HPA scale up from min under a lasting load, and return the fleet after each sync.

    Pods count as ready by the next sync, so that this is the shortest way; a longer model load
    only delays it. Scale-up policy and stabilisation are applied as in horizontal.go.

    Args:
        autoscaler: Bounds, threshold and scale-up behaviour.
        signal: What so many ready pods show.

    Returns:
        Replicas, min first, then one number a sync; the last one is max where max is reached,
        else the size at which the fleet stays.
    """
    up = autoscaler.scale_up
    pods_per_period = up.pods or autoscaler.max_replicas
    now, replicas = 0.0, autoscaler.min_replicas
    wishes = [(-HPA_SYNC_SECONDS, replicas)]
    added: list[tuple[float, int]] = []
    path = [replicas]
    while replicas < autoscaler.max_replicas:
        if not grows(autoscaler, replicas, signal(replicas)):
            break
        asked = signal(replicas) / autoscaler.threshold
        wish = autoscaler.max_replicas
        if asked < wish:
            wish = math.ceil(asked - EPSILON)
        wishes = [past for past in wishes if past[0] > now - up.stabilization_seconds]
        wishes.append((now, wish))
        added = [past for past in added if past[0] > now - up.period_seconds]
        lasting = min(wished for _, wished in wishes)
        allowed = replicas + pods_per_period - sum(pods for _, pods in added)
        target = max(replicas, min(lasting, allowed))
        if target > replicas:
            added.append((now, target - replicas))
        replicas = target
        path.append(replicas)
        now += HPA_SYNC_SECONDS
    return tuple(path)
