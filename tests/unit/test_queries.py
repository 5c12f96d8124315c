"""The scaler's queries, evaluated by the real promtool on given series."""

import subprocess

import pytest
import yaml

from components.autoscaler.queries import demand, in_flight, scaler_query
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from local_cluster import toolchain

FLEET = "ai_inference_cluster"
BASELINE_QUERY = 'sum(envoy_cluster_upstream_rq_active{cluster_name="ai_inference_cluster"})'

SCRAPE_SECONDS = 5
END_SECONDS = 300


@pytest.fixture(scope="session")
def promtool():
    return toolchain.ensure("promtool")["promtool"]


@pytest.fixture
def holds(promtool, tmp_path):
    """Evaluate an expression after 60 scrapes; assert that it yields just these values."""

    def check(expression, series, values):
        tests = {
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
            "tests": [
                {
                    "interval": f"{SCRAPE_SECONDS}s",
                    "input_series": [
                        {"series": name, "values": points} for name, points in series.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": expression,
                            "eval_time": f"{END_SECONDS}s",
                            "exp_samples": [{"labels": "{}", "value": value} for value in values],
                        }
                    ],
                }
            ],
        }
        file = tmp_path / "tests.yaml"
        file.write_text(yaml.safe_dump(tests))
        done = subprocess.run(
            [promtool, "test", "rules", file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def active(pod, count, cluster=FLEET):
    name = f'envoy_cluster_upstream_rq_active{{cluster_name="{cluster}",pod="{pod}"}}'
    return {name: f"{count}x100"}


def refused(kind, pod, per_scrape, cluster=FLEET):
    name = f'envoy_cluster_upstream_rq_{kind}_overflow{{cluster_name="{cluster}",pod="{pod}"}}'
    return {name: f"0+{per_scrape}x100"}


def test_the_in_flight_signal_is_the_baselines_text():
    assert in_flight(FLEET) == BASELINE_QUERY
    seed = InferenceStack.model_validate({"autoscaler": {"signal": {"kind": "inFlight"}}})
    assert scaler_query(seed, ManagedPrometheus()) == BASELINE_QUERY


def test_the_demand_signal_begins_with_the_baselines_text():
    assert scaler_query(InferenceStack(), ManagedPrometheus()).startswith(
        f"{BASELINE_QUERY} + 0.32 * ("
    )


def changed_stack(**sections):
    return InferenceStack.model_validate(sections)


@pytest.mark.parametrize("parallelism", [1, 16])
@pytest.mark.parametrize("replicas", [3, 20])
def test_a_refused_load_asks_for_the_replicas_that_can_answer_it(holds, replicas, parallelism):
    """At any parallelism, signal over threshold equals rate over the rate of one replica."""
    stack = changed_stack(traffic={"parallelism": parallelism})
    per_second = replicas * stack.traffic.replica_rps
    series = active("a", 0) | refused("pending", "a", per_second * SCRAPE_SECONDS)
    holds(scaler_query(stack, ManagedPrometheus()), series, [replicas * stack.autoscaler.threshold])


def test_a_refused_call_counts_for_no_less_than_the_work_on_it():
    """Where replicas are to hold fewer calls than they can work on at once."""
    stack = changed_stack(traffic={"parallelism": 32})
    assert stack.refused_seconds == stack.traffic.service_time_seconds


def test_what_a_refused_call_counts_for_may_be_stated():
    stack = changed_stack(autoscaler={"signal": {"kind": "demand", "refusedSeconds": 0.02}})
    assert scaler_query(stack, ManagedPrometheus()).startswith(f"{BASELINE_QUERY} + 0.02 * (")


def test_in_flight_adds_up_over_gateways_and_leaves_other_fleets_out(holds):
    series = active("a", 40) | active("b", 2) | active("a", 1000, cluster="other")
    holds(in_flight(FLEET), series, [42])


@pytest.mark.parametrize("query", [in_flight(FLEET), demand(FLEET, 0.02, 15)])
def test_lost_metrics_are_no_result_and_never_zero(holds, query):
    """KEDA takes no result for an error (`ignoreNullValues: "false"`), see the ScaledObject."""
    holds(query, {}, [])
    holds(query, refused("active", "a", 500) | refused("pending", "a", 500), [])
    holds(query, {f'{name}{{cluster_name="other"}}': "7x100" for name in ("up", "down")}, [])


def test_without_refusals_demand_is_what_is_in_flight(holds):
    series = active("a", 40) | active("b", 2)
    holds(demand(FLEET, 0.02, 15), series, [42])
    zero = refused("active", "a", 0) | refused("pending", "a", 0)
    holds(demand(FLEET, 0.02, 15), series | zero, [42])


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        (refused("active", "a", 500), 42 + 0.02 * 100),
        (refused("pending", "a", 500), 42 + 0.02 * 100),
        (refused("active", "a", 500) | refused("pending", "a", 50), 42 + 0.02 * 110),
        (refused("active", "a", 500) | refused("active", "b", 250), 42 + 0.02 * 150),
        (refused("active", "a", 500, cluster="other"), 42),
    ],
    ids=["active", "pending", "both kinds", "two gateways", "another fleet's"],
)
def test_refusals_count_by_their_rate_times_their_weight(holds, refusals, expected):
    holds(demand(FLEET, 0.02, 15), active("a", 42) | refusals, [expected])


def test_a_burst_between_two_scrapes_is_seen(holds):
    """A gauge would have missed it: nothing is in flight at any scrape."""
    name = f'envoy_cluster_upstream_rq_active_overflow{{cluster_name="{FLEET}"}}'
    series = active("a", 0) | {name: "0x58 3000x2"}
    holds(demand(FLEET, 0.02, 15), series, [0.02 * 200])


def test_a_restarted_gateway_is_no_burst(holds):
    name = f'envoy_cluster_upstream_rq_active_overflow{{cluster_name="{FLEET}"}}'
    series = active("a", 5) | {name: "90000x58 0x2"}
    holds(demand(FLEET, 0.02, 15), series, [5])


@pytest.mark.parametrize("window_seconds", [10, 7.5, 45, 90.0])
def test_any_window_is_a_promql_duration(holds, window_seconds):
    series = active("a", 1) | refused("active", "a", 500)
    holds(demand(FLEET, 1.5, window_seconds), series, [1 + 1.5 * 100])


@pytest.mark.parametrize("weight", [1e-05, 0.000123, 0.1 + 0.2, 30.0])
def test_any_weight_is_a_promql_number(holds, weight):
    series = active("a", 0) | refused("active", "a", 5000)
    holds(demand(FLEET, weight, 15), series, [weight * 1000])


def test_every_stack_asks_for_its_own_fleet():
    queries = {
        scaler_query(InferenceStack(name_prefix=prefix), ManagedPrometheus())
        for prefix in ("", "a-", "b-")
    }
    assert len(queries) == 3
