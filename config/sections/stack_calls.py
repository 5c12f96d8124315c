"""Calls of one inference stack: how many are in flight, wait, or are refused, and where."""

import math
from functools import cached_property

from config.sections.autoscaler import Autoscaler
from config.sections.gateway import FleetLimit, Gateway
from config.sections.gateway_callers import FairShares
from config.sections.stack_names import StackNames
from config.sections.traffic import Traffic
from config.sections.triton import Triton
from config.units import EPSILON

_PENDING_SHARE = 0.16
"""Share of the deadline, at min replicas, that calls may spend waiting for a stream."""

_MIN_STREAMS = 128
"""Fewest streams of a client connection; HTTP/2 advises 100 at least (RFC 9113, 6.5.2)."""

_STREAMS_OVER_ADMITTED = 1.1
"""Streams of a gateway's connections over the calls that it admits: the excess is refused, and
counts for the scaler. It also bounds the refusals at once, each of which costs the worker a call's
CPU; further calls wait in the client at no cost here."""

_STREAMS_OVER_WORK = 1.25
"""Streams of one connection over the calls that the largest fleet works on, so that no replica is
idle while one caller alone has calls."""

_MIN_STATIC_STREAMS = 1024
"""Fewest streams under a static limit: Envoy's own default since 1.36."""

_CALLS_OVER_WORK = 4
"""Calls admitted over those that a replica works on, or is scaled at. No replica idles, and the
fleet may quadruple at each HPA sync. A deeper queue answers no more calls, and under CPU pressure
many too late."""

_GUARANTEED_SHARE = 0.2
"""Share of the smallest fleet's capacity that goes ahead for each caller: 40 % of the equal share
of two callers. Were it larger, the calls ahead of the queues would wait for each other."""

_CALLS_OVER_THRESHOLD = 2
"""The same on one gateway alone, where all connections may land: beyond the HPA's tolerance."""


class StackCalls(StackNames):
    """The three parts of a stack, and the numbers of calls that follow from them."""

    traffic: Traffic = Traffic()
    """Load of the callers and speed of a replica."""

    triton: Triton = Triton()
    """The model server."""

    gateway: Gateway = Gateway()
    """The gateway."""

    autoscaler: Autoscaler = Autoscaler()
    """The autoscaler."""

    @property
    def calls_per_deadline(self) -> float:
        """Calls that one replica can finish within one deadline."""
        return self.traffic.deadline_seconds * self.traffic.replica_rps

    @property
    def streams_per_pod(self) -> int | None:
        """Streams that one gateway opens to one pod; None where the limit is static."""
        limit = self.gateway.in_flight
        # By kind here, not in the limit: the derived value needs traffic and gateways.
        if not isinstance(limit, FleetLimit):
            return None
        if limit.streams_per_pod is not None:
            return limit.streams_per_pod
        gateways = self.gateway.replicas
        budget = limit.share_of_deadline * self.calls_per_deadline / gateways
        threshold = self.autoscaler.threshold
        work = _CALLS_OVER_WORK * max(self.traffic.parallelism, threshold) / gateways
        needed = max(work, _CALLS_OVER_THRESHOLD * threshold)
        return max(1, math.floor(min(budget, needed) + EPSILON))

    @property
    def fair_shares(self) -> FairShares | None:
        """Shares of callers under overload; None if there are none."""
        callers = self.gateway.callers
        return callers.fair_shares if callers else None

    @property
    def caller_streams_per_pod(self) -> int | None:
        """Streams that one gateway opens to one pod for one caller, or for all without shares."""
        shares = self.fair_shares
        if not shares or not self.streams_per_pod:
            return self.streams_per_pod
        return shares.calls_per_pod or min(self.traffic.parallelism, self.streams_per_pod)

    @property
    def least_fleet_rps(self) -> float:
        """Unary calls per second that the smallest fleet answers."""
        return self.autoscaler.min_replicas * self.traffic.replica_rps

    @property
    def guaranteed_rps(self) -> float:
        """Calls per second of each caller that one gateway sends ahead of the queues."""
        stated = self.fair_shares.guaranteed_rps if self.fair_shares else None
        return stated or _GUARANTEED_SHARE * self.least_fleet_rps

    def caller_limit(self, replicas: int) -> int:
        """Calls of one caller that one gateway has in flight, beside the guaranteed ones."""
        if not self.fair_shares:
            return self.active_limit(replicas)
        return replicas * (self.caller_streams_per_pod or 1)

    @property
    def open_calls_per_replica(self) -> int:
        """Calls that one gateway has open at one replica at most."""
        return self.streams_per_pod or self.max_requests

    @property
    def min_retry_concurrency(self) -> int:
        """Retries that one gateway always allows at once."""
        return self.gateway.retries.min_concurrency or self.open_calls_per_replica

    @property
    def max_pending_requests(self) -> int:
        """Calls that one gateway holds until a stream (or a connection) is free."""
        limit = self.gateway.in_flight
        if limit.max_pending_requests is not None:
            return limit.max_pending_requests
        budget = _PENDING_SHARE * self.calls_per_deadline * self.autoscaler.min_replicas
        return max(1, math.floor(budget / self.gateway.replicas + EPSILON))

    def active_limit(self, replicas: int) -> int:
        """Calls that one gateway has in flight upstream at most, with `replicas` pods ready."""
        limit = self.gateway.in_flight
        # By kind here, not in the limit: it does not know the derived streams.
        if isinstance(limit, FleetLimit):
            return replicas * (self.streams_per_pod or 1)
        return limit.max_requests

    def admitted(self, replicas: int) -> int:
        """Calls that all gateways together admit at most with `replicas` pods ready.

        Pending calls count where the limit follows the fleet: they wait for a stream. Under a
        static limit nothing waits but for a connection, and a trip refuses at once.
        """
        fleet = self.streams_per_pod is not None
        pending = self.max_pending_requests if fleet else 0
        return self.gateway.replicas * (self.active_limit(replicas) + pending)

    @property
    def calls_in_replica(self) -> int:
        """Calls that one replica holds at once at most: worked on, or in its queue."""
        sent = self.gateway.replicas * self.open_calls_per_replica
        return min(sent, self.triton.queue_size + self.traffic.parallelism)

    @property
    def max_requests(self) -> int:
        """Envoy's `max_requests`: the static breaker, or room for the largest fleet's streams."""
        limit = self.gateway.in_flight
        # By kind here, not in the limit: it does not know the size of the fleet.
        if isinstance(limit, FleetLimit):
            return self.active_limit(self.surge_replicas) + self.max_pending_requests
        return limit.max_requests

    @property
    def max_concurrent_streams(self) -> int:
        """Streams on one client connection: together more than the gateway admits, to refuse."""
        stated, limit = self.gateway.max_concurrent_streams, self.gateway.in_flight
        if stated is not None:
            return stated
        # By kind here, not in the limit: it does not know the fleet and its connections.
        if not isinstance(limit, FleetLimit):
            wanted = math.ceil(1.5 * (limit.max_requests + limit.max_pending_requests))
            return max(_MIN_STATIC_STREAMS, 1 << (wanted - 1).bit_length())
        most, gateways = self.autoscaler.max_replicas, self.gateway.replicas
        # Connections spread over the gateways; one has the fewest.
        sharing = max(1, self.traffic.client_connections // gateways)
        fair = _STREAMS_OVER_ADMITTED * self.admitted(most) / gateways / sharing
        alone = _STREAMS_OVER_WORK * most * self.traffic.parallelism
        return max(_MIN_STREAMS, math.ceil(max(fair, alone)))

    @cached_property
    def surge_replicas(self) -> int:
        """Most replicas at once: the largest fleet and one rollout's surge."""
        most = self.autoscaler.max_replicas
        return most + self.triton.surge_of(most)
