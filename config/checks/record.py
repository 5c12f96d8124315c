"""Checks of the gateway's record of its calls."""

import math
from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, derived, number, refuse
from config.settings import Settings

_ANSWERED_SHARE = 0.5
"""Largest share of the access log's lines that calls which end OK may take."""

_SHARE_DIGITS = 6
"""Digits of a share that Envoy reads: it counts in millionths."""


@refuse
def access_log_share(settings: Settings) -> Iterator[Finding]:
    """Lines about calls that end OK leave room for those about calls that do not."""
    for at in stacks(settings):
        log = at.stack.gateway.access_log
        if not log:
            continue
        fleet = at.stack.autoscaler.max_replicas * at.stack.traffic.replica_rps
        answered = fleet / at.stack.gateway.replicas
        room = _ANSWERED_SHARE * log.lines_per_second
        if log.ok_share * answered > room:
            key, lines = at.key("gateway.accessLog.okShare"), number(log.ok_share * answered)
            scale = 10**_SHARE_DIGITS
            yield Finding(
                keys={
                    key: log.ok_share,
                    at.key("gateway.accessLog.linesPerSecond"): log.lines_per_second,
                    derived(at.key("gateway.answeredPerSecond")): number(answered),
                },
                reason=(
                    f"the largest fleet answers {number(answered)} calls/s through one gateway; "
                    f"{lines} lines a second about them would leave less than half of "
                    f"{log.lines_per_second} to the calls that do not end OK"
                ),
                change={key: math.floor(scale * room / answered) / scale},
            )


@refuse
def tracing_collector(settings: Settings) -> Iterator[Finding]:
    """The gateways find the collector, and NetworkPolicies let them connect to it."""
    for at in stacks(settings):
        tracing = at.stack.gateway.tracing
        if not tracing:
            continue
        key, namespace = at.key("gateway.tracing.collector"), tracing.collector_namespace
        where = at.key("gateway.tracing.collectorNamespace")
        cidrs = at.key("gateway.tracing.collectorCidrs")
        if not namespace and not tracing.collector_cidrs:
            yield Finding(
                keys={key: tracing.collector, where: namespace, cidrs: []},
                reason="no NetworkPolicy would let the gateways connect to the collector",
                fix=f"state the namespace of its pods ({where}), or its addresses ({cidrs})",
            )
        elif "." not in tracing.host and namespace != at.stack.namespace:
            yield Finding(
                keys={key: tracing.collector, where: namespace},
                reason=(
                    f"the gateways would look for a Service {tracing.host} in their own namespace, "
                    f"{at.stack.namespace}"
                ),
                fix="name the Service with its namespace: <service>.<namespace>.svc:<port>",
            )
