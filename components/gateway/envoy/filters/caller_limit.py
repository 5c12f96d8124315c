"""The rate limit of each caller, in one gateway pod (ADR 21)."""

import math
from collections.abc import Sequence

from components.gateway.envoy.filters.callers import CALLER_KEY
from components.gateway.envoy.protojson import Json, extension, seconds, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import CallerLimit, CallerRate
from config.sections.inference import InferenceStack

LIMIT_PREFIX = "caller_limit"
"""Prefix of the filter's statistics."""

LIMITED_HEADER = "x-envoy-ratelimited"
"""Metadata by which Envoy marks calls that a rate limit rejects (Envoy's rate limit filter)."""

CALLER = "caller"
"""Key of the descriptor with the caller's name."""

MAX_CALLERS = 10_000
"""Callers whose rate a gateway knows at a time; it forgets those that called least recently."""

_TOO_MANY_REQUESTS = 429
ALL: Json = {"default_value": {"numerator": 100}}
"""Share of the calls: all."""

_NONE: Json = {"default_value": {"numerator": 0}}

BY_CALLER: Json = {
    "actions": [
        {
            "extension": extension(
                CALLER,
                "extensions.matching.common_inputs.network.v3.FilterStateInput",
                key=CALLER_KEY,
            )
        }
    ]
}
"""A descriptor of each call, with the caller's name."""


def _limit(stack: InferenceStack) -> CallerLimit | None:
    callers = stack.gateway.callers
    return callers.limit if callers else None


def _is_on(stack: InferenceStack) -> bool:
    return stack.has_caller_limit


def bucket(rate: CallerRate) -> Json:
    """Build the token bucket of a rate."""
    # Envoy fills the bucket continuously, with as many tokens in each interval.
    tokens = math.ceil(rate.requests_per_second)
    return {
        "max_tokens": rate.bucket,
        "tokens_per_fill": tokens,
        "fill_interval": seconds(tokens / rate.requests_per_second),
    }


def _config(stack: InferenceStack) -> Json:
    limit = _limit(stack)
    assert limit  # noqa: S101 - the registry asks for the configuration of filters that are on
    stated = [
        {"entries": [{"key": CALLER, "value": each.caller}], "token_bucket": bucket(each)}
        for each in limit.overrides
    ]
    # Without a value the descriptor stands for each value that no other one has.
    others = {"entries": [{"key": CALLER}], "token_bucket": bucket(limit)}
    return typed(
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=LIMIT_PREFIX,
        rate_limits=[BY_CALLER],
        descriptors=[*stated, others],
        max_dynamic_descriptors=MAX_CALLERS,
        filter_enabled=ALL,
        filter_enforced=ALL if limit.enforced else _NONE,
        rate_limited_as_resource_exhausted=True,
        response_headers_to_add=[{"header": {"key": LIMITED_HEADER, "value": "true"}}],
    )


def _local_replies(_: InferenceStack) -> Sequence[Json]:
    """Word the refusal; Envoy's own words are `local_rate_limited`."""
    return [
        {
            "filter": {
                "status_code_filter": {
                    "comparison": {
                        "op": "EQ",
                        "value": {
                            "default_value": _TOO_MANY_REQUESTS,
                            "runtime_key": "caller_limit.status",
                        },
                    }
                }
            },
            "body": {
                "inline_string": "the caller's rate limit at this gateway is reached "
                "(gateway.callers.limit)"
            },
        }
    ]


CALLER_LIMIT = HttpFilter(
    name="caller_limit",
    is_on=_is_on,
    config=_config,
    local_replies=_local_replies,
)
"""Answers RESOURCE_EXHAUSTED at once to calls beyond their caller's rate. They reach no cluster, so
that the scaler does not count them."""
