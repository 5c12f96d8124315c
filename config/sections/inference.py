"""One inference stack: Triton, its gateway and its autoscaler, with everything that derives."""

import math
from typing import Literal

from config.sections.gateway_callers import JwtIssuer
from config.sections.prometheus import Prometheus
from config.sections.stack_calls import StackCalls
from config.sections.watchdog import MAX_SHARE, MIN_INTERVAL_SECONDS, MIN_PATIENCE_SECONDS

SCRAPES_PER_WINDOW = 3
"""Scrapes that a rate window must hold: two samples make a rate, one more may be late."""

_MARGIN_SECONDS = 5.0
"""Slack between one process's last call and the next one's timeout."""

_CONNECTION_SECONDS = 900.0
"""Age of a client's connection: often enough that a new gateway gets its share within minutes."""

CONNECTION_JITTER_PERCENT = 20
"""Most by which the age of a connection exceeds `maxConnectionSeconds`, in percent. Otherwise all
connections that a rollout has moved at once would move together for ever."""

GOAWAY_SECONDS = 1.0
"""Time between the first GOAWAY, which moves the client, and the last one: several round trips."""

_MIN_WINDOW_KIB = 64
_MAX_WINDOW_KIB = 1024 * 1024
"""Smallest and largest window of a stream: HTTP/2's own initial window, and half of its limit."""


class InferenceStack(StackCalls):
    """Triton, gateway and autoscaler: repeatable, each with a namespace and a name prefix."""

    @property
    def discovery_host(self) -> str:
        """DNS name under which Envoy finds replicas.

        Without the watchdog, which tells it by health checks which replicas take calls, it finds
        ready ones alone.
        """
        return self.all_replicas_host if self.triton.watchdog.enabled else self.service_host

    @property
    def server_name(self) -> str:
        """DNS name that callers verify in the certificate."""
        gateway = self.gateway
        return gateway.tls.server_name or gateway.exposure.host_name or self.gateway_host

    @property
    def tls_secret_name(self) -> str | None:
        """Secret with the gateway's certificate and key; None without TLS."""
        tls = self.gateway.tls
        return tls.secret_name or (f"{self.gateway_name}-tls" if tls.is_on else None)

    @property
    def tls_ends_at(self) -> Literal["none", "gateway", "loadBalancer"]:
        """Part that ends the callers' TLS."""
        if self.gateway.tls.is_on:
            return "gateway"
        return "loadBalancer" if self.gateway.exposure.certificate_arn else "none"

    @property
    def token_issuers(self) -> tuple[JwtIssuer, ...]:
        """Authorities whose tokens the gateway accepts."""
        return self.gateway.callers.issuers if self.gateway.callers else ()

    @property
    def has_caller_limit(self) -> bool:
        """True if the gateway limits the rate of each caller."""
        return self.gateway.callers is not None and self.gateway.callers.limit is not None

    @property
    def refused_seconds(self) -> float:
        """Weight of the refusal rate in the scaler's signal: calls per refused call a second.

        Little's law at the size to which the fleet should grow: its replicas hold `threshold` calls
        each, and keep each call for as long as they take to answer so many.
        """
        stated = self.autoscaler.signal.refused_seconds
        if stated is not None:
            return stated
        at_threshold = self.autoscaler.threshold / self.traffic.replica_rps
        # To where a PromQL number reads as what was stated, without the noise of the division.
        return float(f"{max(at_threshold, self.traffic.service_time_seconds):.6g}")

    def rate_window_seconds(self, prometheus: Prometheus) -> float:
        """Return the window of the refusal rate, in seconds.

        Args:
            prometheus: The Prometheus that scrapes the stack.
        """
        stated = self.autoscaler.signal.rate_window_seconds
        if stated is not None:
            return stated
        return SCRAPES_PER_WINDOW * prometheus.scrape_interval_seconds

    @property
    def stream_window_kib(self) -> int:
        """HTTP/2 flow-control window of one stream: room for a mean message."""
        message = max(self.traffic.request_kib, self.traffic.response_kib)
        derived = min(max(_MIN_WINDOW_KIB, math.ceil(message)), _MAX_WINDOW_KIB)
        return self.gateway.stream_window_kib or derived

    @property
    def max_connection_seconds(self) -> float:
        """Age at which the gateway asks the client of a connection to open another one."""
        stated = self.gateway.max_connection_seconds
        return stated or max(_CONNECTION_SECONDS, self.traffic.longest_call_seconds)

    @property
    def longest_connection_seconds(self) -> float:
        """Longest life of a client's connection: its age, then the last call on it."""
        age = self.max_connection_seconds * (1 + CONNECTION_JITTER_PERCENT / 100)
        return age + GOAWAY_SECONDS + self.traffic.longest_call_seconds

    @property
    def stop_lag_seconds(self) -> float:
        """Longest time for which Envoy still sends calls to a replica that stops.

        With the watchdog: a health check that began just before the stop, and the next one.
        Without it: the pod has left the Service, but not yet DNS.
        """
        gateway, checks = self.gateway, self.gateway.health_checks
        if self.triton.watchdog.enabled:
            return checks.interval_seconds + checks.timeout_seconds
        return gateway.dns_ttl_seconds + gateway.dns_refresh_seconds + gateway.dns_jitter_seconds

    @property
    def triton_pre_stop_seconds(self) -> int:
        """Wait before Triton gets SIGTERM: until no gateway sends it calls any more."""
        stated = self.triton.pre_stop_seconds
        return math.ceil(stated if stated is not None else self.stop_lag_seconds + 1)

    @property
    def triton_exit_seconds(self) -> int:
        """Triton's `--exit-timeout-secs`: what the longest call may still need."""
        return math.ceil(self.traffic.longest_call_seconds + _MARGIN_SECONDS)

    @property
    def triton_grace_seconds(self) -> int:
        """`terminationGracePeriodSeconds` of a Triton pod."""
        stated = self.triton.termination_grace_seconds
        derived = self.triton_pre_stop_seconds + self.triton_exit_seconds + _MARGIN_SECONDS
        return math.ceil(stated if stated is not None else derived)

    @property
    def gateway_drain_seconds(self) -> int:
        """Time in which a stopping gateway lets calls and streams end."""
        return math.ceil(self.traffic.longest_call_seconds + _MARGIN_SECONDS)

    @property
    def gateway_grace_seconds(self) -> int:
        """`terminationGracePeriodSeconds` of a gateway pod."""
        lag = self.gateway.endpoint_lag_seconds
        return math.ceil(lag + self.gateway_drain_seconds + _MARGIN_SECONDS)

    @property
    def startup_budget_seconds(self) -> int:
        """Time for a replica to become ready before kubelet restarts it."""
        stated = self.triton.startup_budget_seconds
        return math.ceil(stated if stated is not None else 2 * self.triton.load_seconds + 30)

    @property
    def queue_seconds(self) -> float:
        """Longest time that one replica takes to answer all calls that it holds."""
        return self.calls_in_replica / self.traffic.replica_rps

    @property
    def watchdog_interval_seconds(self) -> float:
        """Time between two of the watchdog's inferences of one model."""
        stated = self.triton.watchdog.interval_seconds
        # To where the division's noise ends.
        slow = round(1 / (self.traffic.replica_rps * MAX_SHARE), 3)
        return stated if stated is not None else max(MIN_INTERVAL_SECONDS, slow)

    @property
    def watchdog_patience_seconds(self) -> float:
        """Time without an answer to the watchdog after which a replica is dead.

        The longest queue twice, because a busy host is slower than stated, behind one call that
        takes as long as any call may.
        """
        stated = self.triton.watchdog.patience_seconds
        saturated = math.ceil(self.traffic.deadline_seconds + 2 * self.queue_seconds)
        return stated if stated is not None else max(MIN_PATIENCE_SECONDS, saturated)

    @property
    def placed_replicas(self) -> int:
        """Most replicas and placeholders at once."""
        return self.surge_replicas + self.triton.warm_spare.replicas
