"""Checks that stated times fit together: calls, streams, start-up and scraping."""

import math
from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.problem import Finding, number, refuse, warn
from config.sections.inference import SCRAPES_PER_WINDOW
from config.settings import Settings

MAX_UNSEEN_SECONDS = 60
"""Longest time for which health checks may leave a hanging replica in use; by then kubelet's
liveness probe (three times 10 s and a timeout) has restarted it."""

MAX_SCRAPE_INTERVAL_SECONDS = 15
"""One HPA sync; with a longer interval, two decisions may rest on the same sample."""


def _too_short(
    at: StackAt,
    stated: tuple[str, float | None],
    needed: tuple[str, float],
    reason: str,
    *,
    unset: bool = False,
) -> Iterator[Finding]:
    """Find a time that is shorter than another one.

    Args:
        at: Stack of both.
        stated: Path and value of the time; None is derived, and long enough.
        needed: Path and value of the other time.
        reason: Message with `{stated}` and `{needed}` in place of the numbers.
        unset: True if the fix unsets the time, false if it sets the other time's value.
    """
    (path, seconds), (other, least) = stated, needed
    if seconds is not None and seconds < least:
        yield Finding(
            keys={at.key(path): seconds, at.key(other): least},
            reason=reason.format(stated=number(seconds), needed=number(least)),
            change={at.key(path): None if unset else least},
        )


@refuse
def service_time(settings: Settings) -> Iterator[Finding]:
    """A call that does not wait is answered within the deadline."""
    for at in stacks(settings):
        traffic, key = at.stack.traffic, at.key("traffic.deadlineSeconds")
        if traffic.service_time_seconds >= traffic.deadline_seconds:
            yield Finding(
                keys={
                    key: traffic.deadline_seconds,
                    at.key("traffic.serviceTimeSeconds"): traffic.service_time_seconds,
                },
                reason=(
                    f"a replica works {number(traffic.service_time_seconds)} s on one call, but "
                    f"the call times out after {number(traffic.deadline_seconds)} s"
                ),
                change={key: 2 * traffic.service_time_seconds},
            )


@warn
def dead_replica(settings: Settings) -> Iterator[Finding]:
    """Health checks detect a hanging replica before kubelet restarts it."""
    for at in stacks(settings):
        checks = at.stack.gateway.health_checks
        found_seconds = checks.unhealthy_threshold * (
            checks.interval_seconds + checks.timeout_seconds
        )
        if found_seconds > MAX_UNSEEN_SECONDS:
            interval = at.key("gateway.healthChecks.intervalSeconds")
            threshold = at.key("gateway.healthChecks.unhealthyThreshold")
            timeout = at.key("gateway.healthChecks.timeoutSeconds")
            yield Finding(
                keys={
                    interval: checks.interval_seconds,
                    timeout: checks.timeout_seconds,
                    threshold: checks.unhealthy_threshold,
                },
                reason=(
                    f"a hanging replica gets calls for {number(found_seconds)} s: "
                    f"{checks.unhealthy_threshold} checks, each "
                    f"{number(checks.interval_seconds)} s after the last and with a timeout of "
                    f"{number(checks.timeout_seconds)} s"
                ),
                change={interval: 0.5, timeout: 1, threshold: 4},
            )


@refuse
def startup_budget(settings: Settings) -> Iterator[Finding]:
    """A stated start-up budget covers the stated load time."""
    for at in stacks(settings):
        yield from _too_short(
            at,
            ("triton.startupBudgetSeconds", at.stack.triton.startup_budget_seconds),
            ("triton.loadSeconds", at.stack.triton.load_seconds),
            "the models take {needed} s to load, but kubelet restarts the replica after {stated} "
            "s: it never becomes ready",
            unset=True,
        )


@refuse
def scrape_interval(settings: Settings) -> Iterator[Finding]:
    """Prometheus scrapes at least as often as the HPA decides."""
    interval = settings.prometheus.scrape_interval_seconds
    if interval > MAX_SCRAPE_INTERVAL_SECONDS:
        yield Finding(
            keys={"prometheus.scrapeIntervalSeconds": interval},
            reason=(
                f"the HPA decides every {MAX_SCRAPE_INTERVAL_SECONDS} s, and scrapes that are "
                f"{number(interval)} s apart miss a burst of a few seconds"
            ),
            change={"prometheus.scrapeIntervalSeconds": MAX_SCRAPE_INTERVAL_SECONDS},
        )


@refuse
def rate_window(settings: Settings) -> Iterator[Finding]:
    """A stated rate window holds enough scrapes for a rate."""
    interval = settings.prometheus.scrape_interval_seconds
    for at in stacks(settings):
        stated, key = (
            at.stack.autoscaler.signal.rate_window_seconds,
            at.key("autoscaler.signal.rateWindowSeconds"),
        )
        if stated is not None and stated < SCRAPES_PER_WINDOW * interval:
            yield Finding(
                keys={key: stated, "prometheus.scrapeIntervalSeconds": interval},
                reason=(
                    f"a window of {number(stated)} s holds {math.floor(stated / interval)} "
                    f"scrapes, but {SCRAPES_PER_WINDOW} are needed, or the rate of refusals has "
                    "gaps"
                ),
                change={key: None},
            )


@warn
def refused_weight(settings: Settings) -> Iterator[Finding]:
    """A refused call counts for at least as long as a replica would have worked on it."""
    for at in stacks(settings):
        yield from _too_short(
            at,
            ("autoscaler.signal.refusedSeconds", at.stack.autoscaler.signal.refused_seconds),
            ("traffic.serviceTimeSeconds", at.stack.traffic.service_time_seconds),
            "each refused call counts {stated} s in the scaler's signal, but would keep a replica "
            "busy for {needed} s: the fleet grows by less than it needs",
            unset=True,
        )


@refuse
def stream_length(settings: Settings) -> Iterator[Finding]:
    """A stream may live as long as one unary call: it carries at least one inference."""
    for at in stacks(settings):
        yield from _too_short(
            at,
            ("traffic.maxStreamSeconds", at.stack.traffic.max_stream_seconds),
            ("traffic.deadlineSeconds", at.stack.traffic.deadline_seconds),
            "the gateway ends a stream after {stated} s, although one inference may take "
            "{needed} s",
        )


@refuse
def connection_age(settings: Settings) -> Iterator[Finding]:
    """A client's connection lives at least as long as the longest call on it.

    Otherwise the client opens new connections faster than calls leave the old ones.
    """
    for at in stacks(settings):
        traffic = at.stack.traffic
        longest = "maxStreamSeconds"
        if traffic.deadline_seconds >= traffic.max_stream_seconds:
            longest = "deadlineSeconds"
        yield from _too_short(
            at,
            ("gateway.maxConnectionSeconds", at.stack.gateway.max_connection_seconds),
            (f"traffic.{longest}", traffic.longest_call_seconds),
            "the gateway replaces each connection after {stated} s, but a call on it may take "
            "{needed} s: connections that wait for their calls pile up",
        )


@refuse
def stream_idle(settings: Settings) -> Iterator[Finding]:
    """A stream may be silent for as long as one inference on it may take."""
    for at in stacks(settings):
        yield from _too_short(
            at,
            ("traffic.streamIdleSeconds", at.stack.traffic.stream_idle_seconds),
            ("traffic.deadlineSeconds", at.stack.traffic.deadline_seconds),
            "the gateway ends a stream after {stated} s of silence, although its answer may take "
            "{needed} s",
        )
