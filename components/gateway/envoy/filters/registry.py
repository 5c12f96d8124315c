"""The list of HTTP filters, and the sums of what they add to the gateway."""

from collections.abc import Sequence

from components.gateway.envoy.filters.caller_limit import CALLER_LIMIT
from components.gateway.envoy.filters.callers import CALLER_NAME
from components.gateway.envoy.filters.first_byte import FIRST_BYTE
from components.gateway.envoy.filters.jwt import JWT, MISSING_TOKENS
from components.gateway.envoy.filters.request_size import REQUEST_SIZE
from components.gateway.envoy.filters.router import ROUTER
from components.gateway.envoy.filters.shares import CALLER_GUARANTEE, CALLER_QUEUE
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.registration import HttpFilter, Mount, RouteName
from config.sections.inference import InferenceStack

FILTERS: tuple[HttpFilter, ...] = (
    MISSING_TOKENS,
    JWT,
    CALLER_NAME,
    CALLER_LIMIT,
    FIRST_BYTE,
    CALLER_GUARANTEE,
    CALLER_QUEUE,
    REQUEST_SIZE,
    ROUTER,
)
"""All HTTP filters, in the order in which a call passes them. The router ends the chain."""


def _enabled(stack: InferenceStack) -> list[HttpFilter]:
    return [each for each in FILTERS if each.is_on(stack)]


def http_filters(stack: InferenceStack) -> list[Json]:
    """Build the HTTP filter chain of the gRPC listener."""
    return [each.http_filter(stack) for each in _enabled(stack)]


def early_mutations(stack: InferenceStack) -> list[Json]:
    """Return the `HeaderMutation`s of each request, before its route and all filters."""
    return [mutation for each in _enabled(stack) for mutation in each.early_mutations(stack)]


def route_configs(stack: InferenceStack, route: RouteName) -> Json:
    """Build `typed_per_filter_config` of one route; empty where no filter has a configuration."""
    configs = {each.name: each.route_config(stack, route) for each in _enabled(stack)}
    return {name: config for name, config in configs.items() if config is not None}


def local_replies(stack: InferenceStack) -> list[Json]:
    """Return the `ResponseMapper`s of the answers that filters give by themselves."""
    return [mapper for each in _enabled(stack) for mapper in each.local_replies(stack)]


def filter_clusters(stack: InferenceStack) -> list[Json]:
    """Return the `Cluster`s that filters call."""
    return [cluster for each in _enabled(stack) for cluster in each.clusters(stack)]


def filter_listeners(stack: InferenceStack) -> list[Json]:
    """Return the `Listener`s of the gateway itself that filters call."""
    return [listener for each in _enabled(stack) for listener in each.listeners(stack)]


def filter_mounts(stack: InferenceStack) -> Sequence[Mount]:
    """Return the volumes that filters read."""
    return [mount for each in _enabled(stack) for mount in each.mounts(stack)]
