"""Fair shares of callers under overload, in virtual time: in service times, not in seconds.

Two replicas work on two calls at once. One caller makes ten times the calls that they can answer,
the other a fifth of them, which is 40 % of its equal share. A service time never varies, which is
the hardest case: all calls of a replica end together, and a new one waits for most of a call.

Those of two gateways are in test_fair_shares_gateways.py.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from components.gateway.envoy.filters.shares import (
    BEYOND_HEADER,
    CALLER_GUARANTEE,
    CALLER_QUEUE,
    STAT_PREFIX,
)
from components.gateway.envoy.protojson import Json
from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, Edit, unchanged
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.gateway import Gateway
from tests.envoy.harness.tokens import TokenIssuer, bearer
from tests.envoy.harness.virtual import TICKS, Caller, VirtualTime
from tests.envoy.test_limits import PENDING, STREAMS, burst, held, release, warm

Beds = Callable[..., AbstractContextManager[Bed]]

ISSUER = TokenIssuer("issuer")
REPLICAS, PARALLELISM, DEEP = 2, 2, 8
CAPACITY = REPLICAS * PARALLELISM / TICKS
"""Calls a tick."""

LARGE, SMALL = 10 * CAPACITY, 0.2 * CAPACITY
ALONE, WARM, TOGETHER = 10 * TICKS, 6 * TICKS, 25 * TICKS
"""Ticks."""

ENOUGH, FEW = 30, 8
"""Guaranteed calls: more than the small caller makes beside the large one; fewer than before."""


def guaranteeing(config: Json, calls: int) -> None:
    """Guarantee each caller a number of calls; its rate would be of real time."""
    (descriptor,) = guarantee(config)["descriptors"]
    bucket = {"max_tokens": calls, "tokens_per_fill": 1, "fill_interval": "3600s"}
    descriptor["token_bucket"] = bucket


def fleet(**shares: int) -> dict[str, Any]:
    """Options of a bed with shares."""
    return {
        "replicas": REPLICAS,
        "parallelism": PARALLELISM,
        "streams_per_pod": DEEP,
        "max_pending": 8,
        "traffic": {"parallelism": PARALLELISM, "deadlineSeconds": 600},
        "gateway": {
            "callers": {"jwt": {"issuers": [ISSUER.config()]}, "fairShares": shares},
            "maxConcurrentStreams": 1000,
        },
    }


@contextmanager
def overloaded(bed: Beds, edit: Edit, guaranteed: int) -> Iterator[VirtualTime]:
    def edited(config: Json) -> None:
        guaranteeing(config, guaranteed)
        edit(config)

    with bed(**fleet(), edit=edited) as it:
        yield VirtualTime(it, PARALLELISM)


def caller(clock: VirtualTime, name: str, *gateways: Gateway) -> Caller:
    (metadata,) = bearer(ISSUER.token(sub=name)).values()
    return clock.caller(metadata, *gateways)


def without_priority(config: Json) -> None:
    for route in parts.routes(config):
        route.pop("priority", None)


def without_choice_of_route(config: Json) -> None:
    parts.http_filter(config, CALLER_QUEUE.name)["clear_route_cache"] = False


def without_queues_by_caller(config: Json) -> None:
    (value,) = parts.http_filter(config, CALLER_QUEUE.name)["on_request_headers"]
    value["factory_key"] = "envoy.string"


def with_queues_in_replicas(config: Json) -> None:
    parts.http2_up(config)["max_concurrent_streams"] = DEEP


@pytest.mark.parametrize(
    ("edit", "admitted", "soon"),
    [
        (unchanged, True, True),
        (without_priority, False, True),
        (without_choice_of_route, False, True),
        (with_queues_in_replicas, True, False),
    ],
)
def test_a_small_caller_that_comes_during_overload_is_served_as_if_alone(
    bed: Beds, edit: Edit, admitted: bool, soon: bool
):
    with overloaded(bed, edit, ENOUGH) as clock:
        alone = caller(clock, "alone")
        clock.run(ALONE, {alone: SMALL})
        clock.run(2 * TICKS, {})
        large, small = caller(clock, "large"), caller(clock, "small")
        clock.run(WARM, {large: LARGE})
        clock.run(TOGETHER, {large: LARGE, small: SMALL})
        assert alone.share_ok == 1
        assert (small.share_ok >= 0.95) is admitted
        assert (small.p99 <= 2 * alone.p99) is soon


@pytest.mark.parametrize(("edit", "fair"), [(unchanged, True), (without_queues_by_caller, False)])
def test_a_caller_beyond_its_guarantee_gets_its_equal_share(bed: Beds, edit: Edit, fair: bool):
    """It made calls before: the gateway has a connection to each replica for it."""
    with overloaded(bed, edit, FEW) as clock:
        large, small = caller(clock, "large"), caller(clock, "small")
        clock.run(2 * TICKS, {small: 2 * CAPACITY})
        clock.run(10 * TICKS, {})
        clock.run(WARM, {large: LARGE})
        small.forget()
        large.forget()
        clock.run(TOGETHER, {large: LARGE, small: SMALL})
        assert (small.share_ok >= 0.95) is fair
        assert large.answered + small.answered >= 0.95 * TOGETHER * CAPACITY


def test_a_caller_alone_has_the_whole_fleet(bed: Beds):
    with overloaded(bed, unchanged, 1) as clock:
        large = caller(clock, "large")
        clock.run(WARM, {large: LARGE})
        assert large.answered == WARM * CAPACITY
        assert large.codes["UNAVAILABLE"]


def guarantee(config: Json) -> Json:
    return parts.http_filter(config, CALLER_GUARANTEE.name)


def without_names(config: Json) -> None:
    del guarantee(config)["rate_limits"]


def without_buckets(config: Json) -> None:
    del guarantee(config)["descriptors"]


def disabled(config: Json) -> None:
    del guarantee(config)["filter_enabled"]


def without_mark(config: Json) -> None:
    del guarantee(config)["request_headers_to_add_when_not_enforced"]


def forgetful(config: Json) -> None:
    guarantee(config)["max_dynamic_descriptors"] = 1


@pytest.mark.parametrize(
    ("edit", "marked"),
    [
        (unchanged, [False, True, False, True]),
        (without_names, [False] * 4),
        (without_buckets, [False] * 4),
        (disabled, [False] * 4),
        (without_mark, [False] * 4),
        (forgetful, [False, True, False, False]),
    ],
)
def test_each_caller_has_a_guarantee_of_its_own(bed: Beds, edit: Edit, marked: list[bool]):
    """The rate is so low that no second call fits. Replicas see the marks, against the rule."""
    callers = {"jwt": {"issuers": [ISSUER.config()]}, "fairShares": {"guaranteedRps": 0.01}}

    def exposed(config: Json) -> None:
        parts.virtual_host(config)["request_headers_to_remove"].remove(BEYOND_HEADER)
        edit(config)

    found: list[bool] = []
    with (
        bed(replicas=1, gateway={"callers": callers}, edit=exposed) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        for name in ("a", "a", "b", "a"):
            assert client.call(**bearer(ISSUER.token(sub=name))).code.name == "OK"
            found.append(BEYOND_HEADER in dict(it.fleet.replicas[0].metadata))
        counted = it.gateway.stat(f"{STAT_PREFIX}.http_local_rate_limit.rate_limited")
    assert found == marked
    assert counted == marked.count(True) or edit is without_mark


def test_replicas_see_no_mark(bed: Beds):
    with (
        bed(replicas=1, gateway={"callers": {"fairShares": {}}}) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        assert client.call(metadata=((BEYOND_HEADER, "1"),)).code.name == "OK"
        assert BEYOND_HEADER not in dict(it.fleet.replicas[0].metadata)


def without_limits_of_the_guaranteed(config: Json) -> None:
    del parts.breakers(config)["thresholds"][1]


def without_one_connection_of_the_guaranteed(config: Json) -> None:
    del parts.breakers(config)["per_host_thresholds"][1]


@pytest.mark.parametrize(
    ("edit", "limited"),
    [
        (unchanged, True),
        (without_limits_of_the_guaranteed, False),
        (without_one_connection_of_the_guaranteed, False),
    ],
)
def test_guaranteed_calls_have_the_limits_of_the_gateway_too(bed: Beds, edit: Edit, limited: bool):
    shares = {"guaranteedRps": 1000, "callsPerPod": STREAMS}
    with (
        bed(max_pending=PENDING, gateway={"callers": {"fairShares": shares}}, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        warm(it, client)
        batch = burst(it, client, 30)
        assert (held(it) == (2 * STREAMS, PENDING)) is limited
        release(it, batch)
