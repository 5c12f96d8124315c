"""The scaler's queries, evaluated by the real promtool on given series."""

import subprocess

import pytest
import yaml

from components.autoscaler.queries import demand, in_flight, scaler_query
from components.gateway.envoy.filters.caller_limit import LIMIT_PREFIX
from components.gateway.envoy.stats import CALLER_LIMITED, cluster_selector
from config.sections.inference import InferenceStack
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from local_cluster import toolchain

CLUSTER = "ai_inference_cluster"
FLEET = cluster_selector(CLUSTER)
NAMESPACE = "ai-namespace"
BASELINE_QUERY = 'sum(envoy_cluster_upstream_rq_active{cluster_name="ai_inference_cluster"})'
OWN_QUERY = BASELINE_QUERY.replace("}", f',namespace="{NAMESPACE}"}}')

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


def labels(fleet, **others):
    pairs = {"cluster_name": fleet, "namespace": NAMESPACE, **others}
    return "{" + ",".join(f'{name}="{value}"' for name, value in pairs.items()) + "}"


def active(pod, count, fleet=CLUSTER, **others):
    name = f"envoy_cluster_upstream_rq_active{labels(fleet, pod=pod, **others)}"
    return {name: f"{count}x100"}


def refused(kind, pod, per_scrape, fleet=CLUSTER, **others):
    name = f"envoy_cluster_upstream_rq_{kind}_overflow{labels(fleet, pod=pod, **others)}"
    return {name: f"0+{per_scrape}x100"}


def test_the_in_flight_signal_is_the_baselines_text():
    """But for the namespace, by which it leaves out another team's stack of the same names."""
    assert in_flight(FLEET) == BASELINE_QUERY
    seed = InferenceStack.model_validate({"autoscaler": {"signal": {"kind": "inFlight"}}})
    assert scaler_query(seed, ManagedPrometheus()) == OWN_QUERY


def test_the_demand_signal_begins_with_the_baselines_text():
    assert scaler_query(InferenceStack(), ManagedPrometheus()).startswith(f"{OWN_QUERY} + 0.32 * (")


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


def test_one_callers_retry_storm_buys_no_replica(holds):
    """tests/envoy/test_caller_limits.py shows that Envoy counts limited calls nowhere else."""
    limit = {"requestsPerSecond": 10}
    stack = changed_stack(gateway={"callers": {"limit": limit}})
    query = scaler_query(stack, ManagedPrometheus())
    pairs = labels(CLUSTER, pod="a", envoy_local_http_ratelimit_prefix=LIMIT_PREFIX)
    storm = {f"{CALLER_LIMITED}{pairs}": "0+50000x100"}
    holds(query, active("a", 3) | storm, [3])
    # Refusals of a full gateway still count beside it.
    full = active("a", 3) | refused("pending", "a", 500)
    holds(query, full | storm, [3 + stack.refused_seconds * 100])
    assert query == scaler_query(InferenceStack(), ManagedPrometheus())


def test_a_refused_call_counts_for_no_less_than_the_work_on_it():
    """Where replicas are to hold fewer calls than they can work on at once."""
    stack = changed_stack(traffic={"parallelism": 32})
    assert stack.refused_seconds == stack.traffic.service_time_seconds


def test_what_a_refused_call_counts_for_may_be_stated():
    stack = changed_stack(autoscaler={"signal": {"kind": "demand", "refusedSeconds": 0.02}})
    assert scaler_query(stack, ManagedPrometheus()).startswith(f"{OWN_QUERY} + 0.02 * (")


def test_in_flight_adds_up_over_gateways_and_leaves_other_fleets_out(holds):
    series = active("a", 40) | active("b", 2) | active("a", 1000, fleet="other")
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
        (refused("active", "a", 500, fleet="other"), 42),
    ],
    ids=["active", "pending", "both kinds", "two gateways", "another fleet's"],
)
def test_refusals_count_by_their_rate_times_their_weight(holds, refusals, expected):
    holds(demand(FLEET, 0.02, 15), active("a", 42) | refusals, [expected])


def test_a_burst_between_two_scrapes_is_seen(holds):
    """A gauge would have missed it: nothing is in flight at any scrape."""
    name = f"envoy_cluster_upstream_rq_active_overflow{labels(CLUSTER)}"
    series = active("a", 0) | {name: "0x58 3000x2"}
    holds(demand(FLEET, 0.02, 15), series, [0.02 * 200])


def test_a_restarted_gateway_is_no_burst(holds):
    name = f"envoy_cluster_upstream_rq_active_overflow{labels(CLUSTER)}"
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


@pytest.mark.parametrize("kind", ["inFlight", "demand"])
def test_a_query_leaves_out_the_same_stack_elsewhere(holds, kind):
    """In another namespace, in another cluster, and the second Prometheus of a pair."""
    stack = changed_stack(autoscaler={"signal": {"kind": kind}})
    prometheus = ExistingPrometheus.model_validate(
        {
            "kind": "existing",
            "address": "http://thanos.m.svc:9090",
            "namespace": "m",
            "matchers": {"cluster": "prod-eu", "prometheus_replica": "a-0"},
        }
    )
    own = {"cluster": "prod-eu", "prometheus_replica": "a-0"}
    series = active("a", 40, **own)
    for change in (
        {"namespace": "other"},
        {"cluster": "prod-us"},
        {"prometheus_replica": "a-1"},
    ):
        series |= active("a", 1000, **{**own, **change})
        for counter in ("active", "pending"):
            series |= refused(counter, "a", 5000, **{**own, **change})
    holds(scaler_query(stack, prometheus), series, [40])
    query = scaler_query(stack, prometheus.model_copy(update={"matchers": {}}))
    holds(query.replace(NAMESPACE, "nowhere"), series, [])


def test_the_label_with_the_namespace_may_be_another(holds):
    prometheus = ExistingPrometheus.model_validate(
        {
            "kind": "existing",
            "address": "http://p.m.svc:9090",
            "namespace": "m",
            "namespaceLabel": "kubernetes_namespace",
        }
    )
    query = scaler_query(InferenceStack(), prometheus)
    assert "kubernetes_namespace" in query
    name = "envoy_cluster_upstream_rq_active"
    found = f'{name}{{cluster_name="{CLUSTER}",kubernetes_namespace="{NAMESPACE}"}}'
    holds(query, {found: "7x100", f"{name}{labels(CLUSTER)}": "9x100"}, [7])


def test_every_stack_asks_for_its_own_fleet():
    queries = {
        scaler_query(InferenceStack(name_prefix=prefix), ManagedPrometheus())
        for prefix in ("", "a-", "b-")
    }
    assert len(queries) == 3
