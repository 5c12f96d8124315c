"""Checks of the callers' fair shares."""

from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.gateway import StaticLimit
from config.settings import Settings

_MOST_GUARANTEED = 0.5
"""Largest share of the smallest fleet's capacity that one caller may send ahead of the queues."""

_SHARES = "gateway.callers.fairShares"


def _with_shares(settings: Settings) -> Iterator[StackAt]:
    return (at for at in stacks(settings) if at.stack.fair_shares)


@refuse
def shares_limit(settings: Settings) -> Iterator[Finding]:
    """Fair shares need a limit for each pod."""
    for at in _with_shares(settings):
        # By kind: only this check asks, and words it.
        if isinstance(at.stack.gateway.in_flight, StaticLimit):
            yield Finding(
                keys={
                    at.key("gateway.inFlight.kind"): at.stack.gateway.in_flight.kind,
                    at.key(_SHARES): "set",
                },
                reason=(
                    "with one limit for all sizes of the fleet, calls queue in the replicas, where "
                    "a caller's calls wait behind those of all others"
                ),
                change={at.key("gateway.inFlight"): {"kind": "fleet"}},
            )


@refuse
def shares_signal(settings: Settings) -> Iterator[Finding]:
    """Fair shares need a signal that counts calls outside the replicas."""
    for at in _with_shares(settings):
        signal = at.stack.autoscaler.signal
        if not signal.counts_refusals:
            key = at.key("autoscaler.signal.kind")
            yield Finding(
                keys={key: signal.kind, at.key(_SHARES): "set"},
                reason=(
                    f"one caller has at most {at.stack.caller_streams_per_pod} calls in flight for "
                    "each pod and gateway; its other calls wait in the gateway or are refused, "
                    "which this signal does not count: the fleet would not grow"
                ),
                change={key: "demand"},
            )


@refuse
def shares_guarantee(settings: Settings) -> Iterator[Finding]:
    """Calls ahead of the queues leave room for other callers."""
    for at in _with_shares(settings):
        stack = at.stack
        most = _MOST_GUARANTEED * stack.least_fleet_rps
        if stack.guaranteed_rps > most:
            key = at.key(f"{_SHARES}.guaranteedRps")
            yield Finding(
                keys={
                    key: stack.guaranteed_rps,
                    derived(at.key("autoscaler.minReplicas.callsPerSecond")): number(
                        stack.least_fleet_rps
                    ),
                },
                reason=(
                    f"the smallest fleet answers {number(stack.least_fleet_rps)} calls/s: one "
                    f"caller that sends {number(stack.guaranteed_rps)} of them ahead of the queues "
                    "leaves others less than half"
                ),
                change={key: most},
            )


@refuse
def shares_streams(settings: Settings) -> Iterator[Finding]:
    """The calls of one caller in a pod are no more than those of all."""
    for at in _with_shares(settings):
        own, streams = at.stack.caller_streams_per_pod, at.stack.streams_per_pod
        if own and streams and own > streams:
            key = at.key(f"{_SHARES}.callsPerPod")
            yield Finding(
                keys={key: own, derived(at.key("gateway.inFlight.streamsPerPod")): streams},
                reason=(
                    f"a gateway sends a pod {streams} calls of all callers: {own} of one caller "
                    "would be the queue that fair shares avoid"
                ),
                change={key: None},
            )


@warn
def shares_work(settings: Settings) -> Iterator[Finding]:
    """One caller alone keeps all pods busy."""
    for at in _with_shares(settings):
        own, work = at.stack.caller_streams_per_pod, at.stack.traffic.parallelism
        gateways = min(at.stack.gateway.replicas, at.stack.traffic.client_connections)
        if own and own * gateways < work:
            key = at.key(f"{_SHARES}.callsPerPod")
            yield Finding(
                keys={
                    key: own,
                    at.key("traffic.parallelism"): work,
                    at.key("traffic.clientConnections"): at.stack.traffic.client_connections,
                },
                reason=(
                    f"a caller alone, through {gateways} of the gateways, has "
                    f"{own * gateways} calls in a pod that works on {work}: the rest of the fleet "
                    "stays idle while its calls wait"
                ),
                change={key: None},
            )
