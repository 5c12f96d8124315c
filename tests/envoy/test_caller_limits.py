"""The rate limit of each caller: who is refused, in which form, and what nobody counts as demand.

Buckets are hardly filled again while a test runs. Not shown: the rate over a long time.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from components.gateway.envoy.filters.caller_limit import CALLER_LIMIT
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.stats import CALLER_LIMITED
from config.sections.gateway_callers import CALLER_HEADER
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.tokens import TokenIssuer, bearer

ISSUER = TokenIssuer("issuer")
BURST, BATCH_BURST = 5, 8
LIMIT: dict[str, Any] = {
    "requestsPerSecond": 0.01,
    "burst": BURST,
    "overrides": [{"caller": "batch", "requestsPerSecond": 0.01, "burst": BATCH_BURST}],
}
ATTEMPTS = 12

Open = Callable[..., AbstractContextManager[Bed]]


def limited(**limit: Any) -> dict[str, Any]:
    jwt = {"issuers": [ISSUER.config()], "required": False}
    return {"callers": {"jwt": jwt, "limit": {**LIMIT, **limit}}}


def of(caller: str) -> dict[str, Any]:
    return bearer(ISSUER.token(sub=caller))


def admitted(client: GrpcClient, **how: Any) -> int:
    """Number of calls that get in; all others are refused in the one right form."""
    ends = client.calls(ATTEMPTS, **how)
    for end in ends:
        if end.code.name != "OK":
            assert end.code.name == "RESOURCE_EXHAUSTED"
            assert "gateway.callers.limit" in end.details
            assert end.limited
            assert not end.overloaded
    return Counter(end.code.name for end in ends)["OK"]


def test_each_caller_has_its_own_rate_and_refused_calls_are_no_demand(bed: Open):
    forged = {"metadata": ((CALLER_HEADER, "fresh"),)}
    with bed(replicas=1, gateway=limited()) as it:
        with GrpcClient(it.gateway.port) as first, GrpcClient(it.gateway.port) as second:
            assert admitted(first, **of("orchestrator")) == BURST
            assert admitted(second, **of("orchestrator")) == 0
            assert admitted(first, **of("another")) == BURST
            assert admitted(first, **of("batch")) == BATCH_BURST
            # Callers without a name share one rate, and a stated name changes nothing.
            assert admitted(first) == BURST
            assert admitted(second, **forged) == 0
        passed = 3 * BURST + BATCH_BURST
        gateway = it.gateway
        assert gateway.cluster_stat("upstream_rq_total") == sum(it.fleet.calls) == passed
        # The scaler's counters.
        assert gateway.cluster_stat("upstream_rq_active_overflow") == 0
        assert gateway.cluster_stat("upstream_rq_pending_overflow") == 0
        _, text = gateway.get("/stats/prometheus?filter=caller_limit")
        (line,) = [line for line in text.splitlines() if line.startswith(CALLER_LIMITED)]
        assert int(line.split()[-1]) == 6 * ATTEMPTS - passed


def settings(config: Json) -> Json:
    filters = parts.manager(config)["http_filters"]
    (found,) = [each for each in filters if each["name"] == CALLER_LIMIT.name]
    return found["typed_config"]


def without_the_others(config: Json) -> None:
    del settings(config)["descriptors"][-1]


def without_names(config: Json) -> None:
    del settings(config)["rate_limits"]


def disabled(config: Json) -> None:
    del settings(config)["filter_enabled"]


def without_an_own_rate(config: Json) -> None:
    del settings(config)["descriptors"][0]


def without_status(config: Json) -> None:
    del settings(config)["rate_limited_as_resource_exhausted"]


def without_mark(config: Json) -> None:
    del settings(config)["response_headers_to_add"]


def without_words(config: Json) -> None:
    mappers = parts.manager(config)["local_reply_config"]["mappers"]
    mappers[:] = [each for each in mappers if "limit" not in str(each["filter"])]


def forgetful(config: Json) -> None:
    settings(config)["max_dynamic_descriptors"] = 1


CLEAN = (BURST, BATCH_BURST, 0, "RESOURCE_EXHAUSTED", True, True)


@pytest.mark.parametrize(
    ("edit", "limit", "seen"),
    [
        (unchanged, {}, CLEAN),
        (without_the_others, {}, (ATTEMPTS, BATCH_BURST, ATTEMPTS, *CLEAN[3:])),
        (without_names, {}, (*[ATTEMPTS] * 3, "OK", False, False)),
        (disabled, {}, (*[ATTEMPTS] * 3, "OK", False, False)),
        (without_an_own_rate, {}, (BURST, BURST, *CLEAN[2:])),
        (forgetful, {}, (BURST, BATCH_BURST, BURST, *CLEAN[3:])),
        (without_status, {}, (*CLEAN[:3], "UNAVAILABLE", True, True)),
        (without_mark, {}, (*CLEAN[:4], False, True)),
        (without_words, {}, (*CLEAN[:5], False)),
        (unchanged, {"enforced": False}, (*[ATTEMPTS] * 3, "OK", False, False)),
    ],
)
def test_each_setting_of_the_limit_shows(bed: Open, edit, limit, seen):
    with (
        bed(replicas=1, gateway=limited(**limit), edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):

        def ok(caller: str) -> int:
            ends = client.calls(ATTEMPTS, **of(caller))
            return Counter(end.code.name for end in ends)["OK"]

        first, batch = ok("orchestrator"), ok("batch")
        ok("another")
        again = ok("orchestrator")
        last = client.call(**of("batch"))
    said = "gateway.callers.limit" in last.details
    assert (first, batch, again, last.code.name, last.limited, said) == seen
