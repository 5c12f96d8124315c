"""Numbers of fair shares; tests/envoy shows that Envoy acts on them."""

from typing import Any

import pytest

from components.autoscaler.queries import scaler_query
from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.filters.shares import CALLER_GUARANTEE, CALLER_QUEUE
from components.gateway.envoy.stats import REQUESTS_WAITING
from components.gateway.envoy.validate import validate
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from config.sizing.capacity import burst_ok
from tests.envoy.harness import parts

OFF = InferenceStack.model_validate({"gateway": {"callers": {}}})


def with_shares(parallelism: int = 4, **shares: Any) -> InferenceStack:
    callers = {"fairShares": shares}
    return InferenceStack.model_validate(
        {"gateway": {"callers": callers}, "traffic": {"parallelism": parallelism}}
    )


def test_without_shares_callers_have_no_queues_of_their_own():
    config = bootstrap(OFF)
    names = {each["name"] for each in parts.manager(config)["http_filters"]}
    assert not names & {CALLER_GUARANTEE.name, CALLER_QUEUE.name}
    assert all("priority" not in route for route in parts.routes(config))
    (limits,) = parts.breakers(config)["thresholds"]
    assert limits["priority"] == "DEFAULT"
    assert OFF.caller_streams_per_pod == OFF.streams_per_pod
    assert REQUESTS_WAITING not in scaler_query(OFF, ManagedPrometheus())


def test_each_priority_has_the_limits_of_the_whole_gateway():
    stack = with_shares()
    breakers = parts.breakers(bootstrap(stack))
    default, high = ({**each, "priority": None} for each in breakers["thresholds"])
    assert default == high
    assert default["max_requests"] == OFF.model_copy(update={"traffic": stack.traffic}).max_requests
    assert [each["priority"] for each in breakers["per_host_thresholds"]] == ["DEFAULT", "HIGH"]


@pytest.mark.parametrize(
    ("parallelism", "shares", "streams"), [(4, {}, 4), (4, {"callsPerPod": 9}, 9)]
)
def test_a_caller_has_as_many_calls_in_a_pod_as_it_works_on(parallelism, shares, streams):
    config = bootstrap(with_shares(parallelism, **shares))
    assert parts.http2_up(config)["max_concurrent_streams"] == streams


@pytest.mark.parametrize(
    ("rps", "tokens", "seconds"),
    [(None, 80, "1s"), (0.5, 1, "2s"), (30.0, 30, "1s")],
)
def test_the_bucket_fills_at_the_guaranteed_rate(rps, tokens, seconds):
    """Two replicas that work on four calls of 20 ms each answer 400/s, a fifth of which is 80."""
    shares = {} if rps is None else {"guaranteedRps": rps}
    config = bootstrap(with_shares(**shares))
    (descriptor,) = parts.http_filter(config, CALLER_GUARANTEE.name)["descriptors"]
    bucket = descriptor["token_bucket"]
    assert bucket == {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": seconds}


@pytest.mark.parametrize("rps", [0.01, 19.9, 1e6])
def test_envoy_accepts_every_guarantee(rps):
    assert validate(bootstrap(with_shares(guaranteedRps=rps))) == []


def test_the_signal_counts_calls_that_wait_in_the_gateway():
    query = scaler_query(with_shares(), ManagedPrometheus())
    assert query.startswith(f"sum({REQUESTS_WAITING}{{")
    assert query.endswith(
        scaler_query(with_shares().model_copy(update={"gateway": OFF.gateway}), ManagedPrometheus())
    )


def test_a_burst_of_one_caller_fills_its_own_queue_alone():
    """20 replicas hold 4 calls of it each; what waits in the gateway is the same."""
    stack = with_shares()
    without = stack.model_copy(update={"gateway": OFF.gateway})
    less = burst_ok(without, 20, issue_seconds=0) - burst_ok(stack, 20, issue_seconds=0)
    assert less == 20 * ((without.streams_per_pod or 0) - 4)
