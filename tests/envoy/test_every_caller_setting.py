"""Every setting of the filters for callers has a test that fails without it.

Those tests run on a real Envoy; here only the bootstrap's settings are held against their names.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack
from tests.envoy import (
    test_caller_limits,
    test_caller_names,
    test_fair_shares,
    test_token_keys,
    test_tokens,
)
from tests.envoy.harness import parts
from tests.envoy.harness.tokens import TokenIssuer

INLINE = TokenIssuer("inline").config()
MOUNTED = TokenIssuer("mounted").config({"kind": "configMap", "name": "keys"})
CALLERS = {
    "jwt": {"issuers": [INLINE, MOUNTED], "required": False},
    "limit": test_caller_limits.LIMIT,
    "fairShares": {},
}

_LIMIT = test_caller_limits.test_each_setting_of_the_limit_shows
_TOKENS = test_tokens.test_each_setting_keeps_its_tokens_out
_KEYS = test_token_keys.test_keys_change_within_seconds_and_no_call_is_lost

SHOWN: dict[str, Callable[..., None]] = {
    "early_header_mutation.mutations": (
        test_caller_names.test_replicas_get_no_name_and_callers_state_none
    ),
    "listener.metadata": test_caller_names.test_replicas_get_no_name_and_callers_state_none,
    "caller_name.on_request_headers": (
        test_caller_names.test_a_callers_name_is_its_tokens_or_else_its_certificates
    ),
    **dict.fromkeys(
        ["missing_tokens.shadow_rules", "missing_tokens.shadow_rules_stat_prefix"],
        test_tokens.test_while_tokens_are_not_required_calls_without_one_get_in_and_are_counted,
    ),
    **dict.fromkeys(
        ["jwt_authn.rules", "issuer.issuer", "issuer.audiences", "issuer.max_lifetime"], _TOKENS
    ),
    "issuer.from_headers": test_tokens.test_only_calls_with_a_valid_token_get_in,
    "issuer.claim_to_headers": (
        test_caller_names.test_a_callers_name_is_its_tokens_or_else_its_certificates
    ),
    **dict.fromkeys(["issuer.local_jwks", "issuer.remote_jwks", "issuer.jwt_cache_config"], _KEYS),
    "caller_limit.stat_prefix": (
        test_caller_limits.test_each_caller_has_its_own_rate_and_refused_calls_are_no_demand
    ),
    **dict.fromkeys(
        [
            "caller_limit.rate_limits",
            "caller_limit.descriptors",
            "caller_limit.max_dynamic_descriptors",
            "caller_limit.filter_enabled",
            "caller_limit.filter_enforced",
            "caller_limit.rate_limited_as_resource_exhausted",
            "caller_limit.response_headers_to_add",
        ],
        _LIMIT,
    ),
    **dict.fromkeys(
        [
            "caller_guarantee.stat_prefix",
            "caller_guarantee.rate_limits",
            "caller_guarantee.descriptors",
            "caller_guarantee.max_dynamic_descriptors",
            "caller_guarantee.filter_enabled",
            "caller_guarantee.request_headers_to_add_when_not_enforced",
        ],
        test_fair_shares.test_each_caller_has_a_guarantee_of_its_own,
    ),
    "caller_queue.on_request_headers": (
        test_fair_shares.test_a_caller_beyond_its_guarantee_gets_its_equal_share
    ),
    "caller_queue.clear_route_cache": (
        test_fair_shares.test_a_small_caller_that_comes_during_overload_is_served_as_if_alone
    ),
}
"""Setting -> the test that fails when it is taken away."""


def configuration() -> Json:
    return bootstrap(InferenceStack.model_validate({"gateway": {"callers": CALLERS}}))


def filters(config: Json) -> dict[str, Json]:
    """The extensions that see a call's headers, by name."""
    manager = parts.manager(config)
    (early,) = manager["early_header_mutation_extensions"]
    listed = {
        each["name"].removeprefix("envoy.filters.http."): each for each in manager["http_filters"]
    }
    return {"early_header_mutation": early, **listed}


def settings(config: Json) -> Iterator[str]:
    """Every setting of the callers' filters, by filter and name."""
    found = filters(config)
    if "metadata" in parts.listener(config):
        yield "listener.metadata"
    for name in (
        "early_header_mutation",
        "caller_name",
        "missing_tokens",
        "jwt_authn",
        "caller_limit",
        "caller_guarantee",
        "caller_queue",
    ):
        for key, value in found[name]["typed_config"].items():
            if key == "providers":
                yield from (f"issuer.{inner}" for each in value.values() for inner in each)
            elif key != "@type":
                yield f"{name}.{key}"


def test_every_setting_of_callers_is_shown_by_a_test():
    assert set(settings(configuration())) == SHOWN.keys()


def new(fields: dict[str, Any]) -> None:
    fields["forward"] = True


def lost(fields: dict[str, Any]) -> None:
    del fields["audiences"]


@pytest.mark.parametrize("edit", [new, lost])
def test_a_setting_of_callers_without_a_test_is_noticed(edit):
    config = configuration()
    for provider in filters(config)["jwt_authn"]["typed_config"]["providers"].values():
        edit(provider)
    assert set(settings(config)) != SHOWN.keys()
