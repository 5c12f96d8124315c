"""Callers beside one another: what one does wrong costs its own calls, and nobody else's.

Four replicas answer 100 calls a second together. Rates are such that a busy machine keeps up, and
limits such that none of it is refused: who gets which share of a full fleet is not shown here, and
neither is how many calls the gateway itself can answer.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from components.gateway.envoy.routes import SERVICE
from tests.envoy.harness import parts
from tests.envoy.harness.backend import FAIL, INFER, REFUSE
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes

FLEET = {"replicas": 4, "service_seconds": 0.04, "parallelism": 1, "streams_per_pod": 500}
GOOD_RPS = 60
GOOD_CALLS = 240
LIMIT_KIB = 64

Attempt = Callable[[GrpcClient], grpc.Future]


def asking(path: str, payload: bytes = b"tensor", **metadata: str) -> Attempt:
    headers = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    return lambda client: client.channel.unary_unary(path).future(payload, metadata=headers)


def giving_up(client: GrpcClient) -> grpc.Future:
    call = asking(INFER)(client)
    call.cancel()
    return call


ANSWERED_BY_THE_GATEWAY = [
    asking(f"/{SERVICE}/Nothing"),
    asking("/"),
    asking(INFER, bytes(LIMIT_KIB * 1024 + 1)),
    asking(INFER, grpc_timeout="1n"),
    asking(INFER, grpc_timeout="0S"),
]
"""Of these many a second are made, as many of each."""

FAILED_BY_REPLICAS = [
    *[asking(INFER, f"{REFUSE} UNAVAILABLE".encode())] * 40,
    *(asking(INFER, f"{FAIL} {code.name}".encode()) for code in grpc.StatusCode if code.value[0]),
    *[giving_up] * 4,
]
"""First what a full queue refuses, in a row; then what takes a replica as long as a good call."""


@contextmanager
def bad_caller(bed: Bed, attempts: list[Attempt], burst: int, rps: float) -> Iterator[list[str]]:
    """Make bad calls in bursts, on a connection of their own; yields the codes of the ended."""
    over = threading.Event()
    ended: list[str] = []
    kinds = itertools.cycle(attempts)

    def make() -> None:
        with GrpcClient(bed.gateway.port) as client:
            while not over.is_set():
                calls = [next(kinds)(client) for _ in range(burst)]
                over.wait(burst / rps)
                ended.extend(_code(call) for call in calls)

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(make)
        try:
            yield ended
        finally:
            over.set()
            making.result(60)


def _code(call: grpc.Future) -> str:
    try:
        call.result(60)
    except grpc.FutureCancelledError:
        return "CANCELLED"
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def good_calls(bed: Bed) -> float:
    """Share of the good caller's calls that are OK; they are made at a constant rate."""
    with GrpcClient(bed.gateway.port) as client:
        started = time.monotonic()
        batches = []
        for number in range(GOOD_CALLS):
            time.sleep(max(0, started + number / GOOD_RPS - time.monotonic()))
            batches.append(client.start(1))
        outcomes = [outcome for batch in batches for outcome in batch.wait()]
    return codes(outcomes)["OK"] / GOOD_CALLS


def by_status(config):
    """As Envoy counts by default."""
    outliers = parts.outliers(config)
    outliers.pop("split_external_local_origin_errors")
    outliers.pop("enforcing_consecutive_5xx")


def by_status_and_all_methods(config):
    by_status(config)
    parts.named_route(config, "unary")["match"] = {"prefix": "/"}


@pytest.mark.parametrize(
    ("edit", "spared"), [(unchanged, True), (by_status_and_all_methods, False)]
)
def test_calls_that_the_gateway_answers_cost_the_others_nothing(bed, edit, spared):
    with bed(**FLEET, traffic={"maxRequestKib": LIMIT_KIB}, edit=edit) as it:
        for replica in it.fleet.replicas:
            replica.strict = True
        with bad_caller(it, ANSWERED_BY_THE_GATEWAY, burst=20, rps=200) as ended:
            share = good_calls(it)
        ejected = it.gateway.cluster_stat("outlier_detection.ejections_enforced_total")
        assert (ejected == 0) is spared
        if spared:
            assert share >= 0.99
            assert len(ended) >= GOOD_CALLS / 4
            assert set(ended) == {"UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
            assert sum(it.fleet.calls) == GOOD_CALLS


@pytest.mark.parametrize(("edit", "spared"), [(unchanged, True), (by_status, False)])
def test_calls_that_replicas_fail_cost_the_others_nothing(bed, edit, spared):
    with bed(**FLEET, edit=edit) as it:
        with bad_caller(it, FAILED_BY_REPLICAS, burst=len(FAILED_BY_REPLICAS), rps=20) as ended:
            share = good_calls(it)
        ejected = it.gateway.cluster_stat("outlier_detection.ejections_enforced_total")
        assert (ejected == 0) is spared
        if spared:
            assert share >= 0.99
            assert {"INTERNAL", "INVALID_ARGUMENT", "UNKNOWN", "UNAVAILABLE"} <= set(ended)
            assert it.gateway.cluster_stat("upstream_rq_retry") == 0
