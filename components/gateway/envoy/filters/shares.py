"""Fair shares: a caller's calls within its guarantee go ahead, the others queue by caller."""

from typing import Final

from components.gateway.envoy.filters.caller_limit import (
    ALL,
    BY_CALLER,
    CALLER,
    MAX_CALLERS,
    bucket,
)
from components.gateway.envoy.filters.callers import caller_name
from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import CallerRate
from config.sections.inference import InferenceStack

BEYOND_HEADER: Final = "x-kubemind-beyond-guarantee"
"""Request header of the calls beyond their caller's guarantee. A caller that sets it itself only
gives up its guarantee; replicas do not get it."""


STAT_PREFIX = "caller_guarantee"
"""Prefix of the filter's statistics."""


def has_shares(stack: InferenceStack) -> bool:
    """Return True if callers have fair shares."""
    return stack.fair_shares is not None


def _guarantee(stack: InferenceStack) -> Json:
    guaranteed = CallerRate(requests_per_second=stack.guaranteed_rps)
    return typed(
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=STAT_PREFIX,
        rate_limits=[BY_CALLER],
        descriptors=[{"entries": [{"key": CALLER}], "token_bucket": bucket(guaranteed)}],
        max_dynamic_descriptors=MAX_CALLERS,
        # Enabled and not enforced, it refuses no call.
        filter_enabled=ALL,
        request_headers_to_add_when_not_enforced=[
            {
                "header": {"key": BEYOND_HEADER, "value": "1"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    )


def _queue(_: InferenceStack) -> Json:
    return typed(
        "extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": "kubemind.caller_queue",
                # Part of the key of the connection pools: each caller has its own.
                "factory_key": "envoy.hashable_string",
                "format_string": {"text_format_source": {"inline_string": caller_name()}},
                "shared_with_upstream": "ONCE",
            }
        ],
        # Envoy chose the route before the mark was there.
        clear_route_cache=True,
    )


CALLER_GUARANTEE = HttpFilter(name="caller_guarantee", is_on=has_shares, config=_guarantee)
"""Marks the calls beyond a caller's guarantee, by which Envoy chooses their route."""

CALLER_QUEUE = HttpFilter(name="caller_queue", is_on=has_shares, config=_queue)
"""Gives each caller its own connection to each replica, and with it its own queue and its own
streams; after the mark."""
