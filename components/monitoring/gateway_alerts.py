"""Alerts on gateways: that they run, answer, are not too busy, and have their certificates."""

import math
from collections.abc import Iterator

from components.autoscaler.queries import per_second, refusals
from components.gateway.envoy.listener import STAT_PREFIX
from components.gateway.envoy.stats import (
    CALLER_LIMITED,
    CERTIFICATE_EXPIRES,
    CERTIFICATE_LABEL,
    DOWNSTREAM_REQUESTS,
    DURATION_REACHED,
    KEYS_NOT_FETCHED,
    LISTENER_LABEL,
    LOOKUPS,
    NONE_HEALTHY,
    REQUESTS_ACTIVE,
    ROTATION_FAILED,
    SECRET_LABEL,
    UPTIME,
    WORKER_BUSY,
)
from components.monitoring.rule import POD_LABEL, RESTARTS, Rule, pods
from config.sections.inference import InferenceStack

BUSY_SHARE = 0.8
"""Share of the time for which a gateway's one worker may be busy: beyond it, calls wait for it."""

_FAILED_FETCHES = 10
"""Failed fetches of key sets in ten minutes that are no start of a gateway."""

_LATE_SHARE = 0.05
"""Share of calls that may end at their deadline."""


def gateway_rules(stack: InferenceStack, fleet: str, namespace: dict[str, str]) -> Iterator[Rule]:
    """Yield the alerts on a stack's gateways.

    Args:
        stack: The inference stack.
        fleet: Selector of the series of its cluster in Envoy.
        namespace: Label of its namespace, by name.
    """
    gateways = stack.gateway.replicas
    own = pods(stack.gateway_name, namespace)
    listener = pods(stack.gateway_name, {LISTENER_LABEL: STAT_PREFIX, **namespace})
    yield Rule(
        "GatewayDown",
        f"count({REQUESTS_ACTIVE}{fleet}) < {gateways}",
        seconds=300,
        severity="critical",
        summary=f"Only {{{{ $value }}}} of {gateways} gateways can be scraped.",
    )
    yield Rule(
        "GatewayCrashLoop",
        f"max by ({POD_LABEL}) (resets({UPTIME}{own}[30m])) > {RESTARTS}",
        seconds=0,
        severity="critical",
        summary="Gateway {{ $labels.pod }} restarted {{ $value }} times in 30 minutes.",
    )
    yield Rule(
        "GatewayBusy",
        f"max by ({POD_LABEL}) (rate({WORKER_BUSY}{own}[5m])) / 1e6 > {BUSY_SHARE}",
        seconds=300,
        severity="warning",
        summary="The worker of gateway {{ $labels.pod }} is busy for {{ $value | "
        "humanizePercentage }} of the time: raise gateway.replicas, or gateway.cpu.",
    )
    # A minute holds three scrapes at the longest interval that the scaler can work with.
    yield Rule(
        "GatewayRefusing",
        f"{refusals(fleet, 60)} > 0",
        seconds=60,
        severity="warning",
        summary="The gateway refuses {{ $value | humanize }} calls a second.",
    )
    yield Rule(
        "NoHealthyReplica",
        f"{per_second(NONE_HEALTHY + fleet, 60)} > 0",
        seconds=60,
        severity="critical",
        summary="The gateway refuses {{ $value | humanize }} calls a second, without a healthy "
        "replica.",
    )
    # Longer than a look-up and its retries take.
    silent_seconds = math.ceil(60 + 2 * stack.gateway.dns_refresh_seconds)
    yield Rule(
        "DiscoveryFailing",
        f"max by ({POD_LABEL}) (increase({LOOKUPS}{fleet}[{silent_seconds}s])) == 0",
        seconds=60,
        severity="critical",
        summary="Gateway {{ $labels.pod }} gets no answer from DNS: it keeps the replicas that it "
        "knows, and finds no new ones.",
    )
    late = per_second(DURATION_REACHED + listener, 300)
    calls = per_second(DOWNSTREAM_REQUESTS + listener, 300)
    yield Rule(
        "DeadlinesExceeded",
        f"{late} / {calls} > {_LATE_SHARE}",
        seconds=300,
        severity="warning",
        summary="{{ $value | humanizePercentage }} of calls end at their deadline, or as streams "
        "at their longest life.",
    )


def tls_rules(gateways: str, expiry_seconds: float) -> Iterator[Rule]:
    """Yield the alerts on gateways with certificates.

    Args:
        gateways: Selector of the gateways' series.
        expiry_seconds: Time before a certificate's end at which to warn.
    """
    yield Rule(
        "CertificateExpires",
        f"min by ({POD_LABEL}, {CERTIFICATE_LABEL}) ({CERTIFICATE_EXPIRES}{gateways}) - time() "
        f"< {expiry_seconds:.0f}",
        seconds=300,
        severity="warning",
        summary=f"The certificate {{{{ $labels.{CERTIFICATE_LABEL} }}}} of gateway "
        "{{ $labels.pod }} expires in {{ $value | humanizeDuration }}.",
    )
    yield Rule(
        "CertificateNotLoaded",
        f"max by ({POD_LABEL}, {SECRET_LABEL}) (increase({ROTATION_FAILED}{gateways}[6h])) > 0",
        seconds=0,
        severity="warning",
        summary="Gateway {{ $labels.pod }} could not load new certificates "
        f"({{{{ $labels.{SECRET_LABEL} }}}}): it keeps the old ones.",
    )


def token_rules(listener: str) -> Iterator[Rule]:
    """Yield the alerts on gateways that accept tokens.

    Args:
        listener: Selector of the series of their listeners.
    """
    yield Rule(
        "TokenKeysNotLoaded",
        # One fetch fails while a gateway starts, because its own listener does not answer yet.
        f"max by ({POD_LABEL}) (increase({KEYS_NOT_FETCHED}{listener}[10m])) > {_FAILED_FETCHES}",
        seconds=0,
        severity="warning",
        summary="Gateway {{ $labels.pod }} cannot fetch or read the keys of a token issuer: it "
        "keeps the old ones.",
    )


def limit_rules(limited: str) -> Iterator[Rule]:
    """Yield the alert on calls beyond their caller's rate.

    Args:
        limited: Selector of the series of the callers' rate limit.
    """
    yield Rule(
        "CallerLimited",
        f"{per_second(CALLER_LIMITED + limited, 60)} > 0",
        seconds=60,
        severity="warning",
        summary="Callers make {{ $value | humanize }} calls a second beyond their rate "
        "(gateway.callers.limit); these do not scale the fleet.",
    )
