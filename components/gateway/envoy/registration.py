"""The types by which HTTP filters and clusters register what they add to the gateway.

Each field that is a function takes the stack's parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack

RouteName = Literal["stream", "expired", "unary", "unknown"]
"""Name of a route of the gRPC listener."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One volume of the gateway's pods, mounted read-only in Envoy's container."""

    name: str
    """Name of the volume, unique in the pod."""

    path: str
    """Folder in the container."""

    source: dict[str, Any]
    """Source of the volume, such as `{"secret": {"secretName": "gateway-tls"}}`."""


def always(_: InferenceStack) -> bool:
    """Turn a filter or a cluster on for every stack."""
    return True


def no_messages(_: InferenceStack) -> Sequence[Json]:
    """Add no message."""
    return ()


def no_mounts(_: InferenceStack) -> Sequence[Mount]:
    """Mount nothing."""
    return ()


def same_on_every_route(_: InferenceStack, _route: RouteName) -> Json | None:
    """Configure no route."""
    return None


@dataclass(frozen=True, kw_only=True)
class HttpFilter:
    """One HTTP filter of the gRPC listener."""

    name: str
    """Envoy's name of the filter, by which routes configure it."""

    is_on: Callable[[InferenceStack], bool]
    """Condition under which the gateway has the filter, and all that comes with it."""

    config: Callable[[InferenceStack], Json]
    """Typed configuration of the filter."""

    route_config: Callable[[InferenceStack, RouteName], Json | None] = same_on_every_route
    """Typed configuration of the filter on one route; None where the route needs none."""

    early_mutations: Callable[[InferenceStack], Sequence[Json]] = no_messages
    """`HeaderMutation`s of each request, before its route and all filters."""

    local_replies: Callable[[InferenceStack], Sequence[Json]] = no_messages
    """`ResponseMapper`s of the answers that the filter gives by itself."""

    clusters: Callable[[InferenceStack], Sequence[Json]] = no_messages
    """`Cluster`s that the filter calls."""

    listeners: Callable[[InferenceStack], Sequence[Json]] = no_messages
    """`Listener`s of the gateway itself that the filter calls."""

    mounts: Callable[[InferenceStack], Sequence[Mount]] = no_mounts
    """Volumes that the filter reads."""

    def http_filter(self, stack: InferenceStack) -> Json:
        """Build the filter as a member of a filter chain."""
        return {"name": self.name, "typed_config": self.config(stack)}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster that the listeners' routes lead to."""

    is_on: Callable[[InferenceStack], bool]
    """Condition under which the gateway has the cluster."""

    config: Callable[[InferenceStack], Json]
    """`Cluster` message."""

    mounts: Callable[[InferenceStack], Sequence[Mount]] = no_mounts
    """Volumes that the cluster reads."""
