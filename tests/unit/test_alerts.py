"""Alerts, judged by Prometheus's own rule engine; not that the gateway and Triton have the series.

tests/envoy/test_metrics.py shows Envoy's. Triton's counter and KEDA's are named as their
documentation and source name them (triton-inference-server/server, docs/user_guide/metrics.md;
kedacore/keda, pkg/metricscollector/prommetrics.go; kubernetes/kube-state-metrics,
docs/metrics/cluster/node-metrics.md).
"""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.monitoring.alerts import alert_rules
from config.base import PROJECT_FOLDER
from config.sections.inference import InferenceStack
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from local_cluster import toolchain
from tests.envoy.harness.tokens import TokenIssuer

CALLERS = {
    "jwt": {"issuers": [TokenIssuer("issuer").config()]},
    "limit": {"requestsPerSecond": 10},
}
TLS = {"kind": "secret", "secretName": "gateway-tls"}
STACK = InferenceStack.model_validate({"gateway": {"replicas": 2, "tls": TLS, "callers": CALLERS}})
OTHER = InferenceStack.model_validate(
    {"namespace": "vision", "namePrefix": "b-", "autoscaler": {"minReplicas": 3, "maxReplicas": 5}}
)
STACKS = (STACK, OTHER)
MANAGED = ManagedPrometheus()

FIRED = re.compile(r'Labels:\{alertname="(?P<name>\w+)",.*scaler="triton-inference-scaler"')


def of_gateway(pod: str, name: str, namespace: str = "ai-namespace", **labels: str) -> str:
    return _series(f"envoy_{name}", f"envoy-gateway-5d4f-{pod}", namespace, labels)


def of_triton(pod: str, name: str, namespace: str = "ai-namespace", **labels: str) -> str:
    return _series(name, f"triton-inference-deployment-6b7c-{pod}", namespace, labels)


def _series(name: str, pod: str, namespace: str, labels: dict[str, str]) -> str:
    pairs = {"namespace": namespace, "pod": pod, **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"


def of_fleet(pod: str, name: str, namespace: str = "ai-namespace") -> str:
    return of_gateway(pod, f"cluster_{name}", namespace, cluster_name="ai_inference_cluster")


def of_listener(name: str, namespace: str = "ai-namespace") -> str:
    prefix = {"envoy_http_conn_manager_prefix": "grpc_router"}
    return of_gateway("g1", f"http_{name}", namespace, **prefix)


ACTIVE, SECOND = (of_fleet(pod, "upstream_rq_active") for pod in ("g1", "g2"))
REFUSED = of_fleet("g1", "upstream_rq_active_overflow")
UNQUEUED = of_fleet("g1", "upstream_rq_pending_overflow")
UNHEALTHY = of_fleet("g1", "upstream_cx_none_healthy")
MEMBERS = of_fleet("g1", "membership_total")
LOOKUPS = of_fleet("g1", "update_success")
HEALTHY = of_fleet("g1", "membership_healthy")
UPTIME = of_gateway("g1", "server_uptime")
BUSY = of_gateway(
    "g1", "listener_manager_worker_dispatcher_loop_duration_us_sum", envoy_worker_id="0"
)
EXPIRES = of_gateway(
    "g1",
    "listener_ssl_certificate_expiration_unix_time_seconds",
    envoy_tls_certificate="server",
)
UNLOADED = of_gateway("g1", "sds_key_rotation_failed", envoy_xds_resource_name="clients")
LIMITED, OTHER_LIMIT = (
    of_gateway("g1", "http_local_rate_limit_rate_limited", envoy_local_http_ratelimit_prefix=prefix)
    for prefix in ("caller_limit", "caller_guarantee")
)
LATE = of_listener("downstream_rq_max_duration_reached")
CALLS = of_listener("downstream_rq_total")
UNFETCHED = of_listener("jwt_authn_jwks_fetch_failed")
UP = of_triton("t1", "up")
ANSWERED = of_triton("t1", "nv_inference_request_success", model="echo")
KEDA = (
    'keda_scaled_object_errors_total{namespace="ai-namespace",'
    'scaledObject="triton-inference-scaler"}'
)
GPUS, HEALTHY_GPUS = (
    f'kube_node_status_{kind}{{node="gpu-1",resource="nvidia_com_gpu",unit="integer"}}'
    for kind in ("capacity", "allocatable")
)
DEVICES, HEALTHY_DEVICES = (
    series.replace("nvidia_com_gpu", "nvidia_com_mig_1g_10gb") for series in (GPUS, HEALTHY_GPUS)
)
KEDA_BY_OPERATOR = KEDA.replace("{namespace=", '{namespace="keda",exported_namespace=')

DAY_SECONDS = 24 * 3600
"""promtool's clock begins at 0, and so do the seconds since 1970."""

GOOD = {
    ACTIVE: "5x60",
    SECOND: "5x60",
    REFUSED: "0x60",
    UNQUEUED: "0x60",
    UNHEALTHY: "0x60",
    LOOKUPS: "0+15x60",
    MEMBERS: "4x60",
    HEALTHY: "4x60",
    UPTIME: "0+30x60",
    BUSY: "0+22500000x60",
    EXPIRES: f"{15 * DAY_SECONDS}x60",
    UNLOADED: "1x60",
    CALLS: "0+3000x60",
    LATE: "0+120x60",
    UNFETCHED: "1x60",
    LIMITED: "7x60",
    OTHER_LIMIT: "0+30x60",
    UP: "1x60",
    ANSWERED: "0+100x60",
    KEDA: "7x60",
    GPUS: "4x60",
    HEALTHY_GPUS: "4x60",
}
"""Half an hour of a stack without a fault: 4 % of calls are late, a worker is busy for 75 % of the
time, and KEDA and a rotation failed long ago."""

TWICE_RESTARTED = "0+30x19 0+30x19 0+30x19"
RESTARTED = "0+30x14 0+30x14 0+30x14 0+30x14"

BAD: dict[str, list[dict[str, str]]] = {
    "GatewayDown": [{SECOND: "_x60"}],
    "GatewayCrashLoop": [{UPTIME: RESTARTED}],
    "GatewayBusy": [{BUSY: "0+25500000x60"}],
    "GatewayRefusing": [{REFUSED: "0+30x60"}, {UNQUEUED: "0+30x60"}],
    "CertificateExpires": [{EXPIRES: f"{14 * DAY_SECONDS}x60"}, {EXPIRES: "0x60"}],
    "CertificateNotLoaded": [{UNLOADED: "1x30 2x29"}],
    "CallerLimited": [{LIMITED: "0+30x60"}],
    "TokenKeysNotLoaded": [{UNFETCHED: "1+1x60"}],
    "DiscoveryFailing": [{LOOKUPS: "7x60"}],
    "NoHealthyReplica": [{UNHEALTHY: "0+30x60"}],
    "DeadlinesExceeded": [{LATE: "0+300x60"}],
    "ReplicaCrashLoop": [{ANSWERED: RESTARTED}],
    "ReplicaNotStarting": [{UP: "0x60"}],
    "FleetBelowMinimum": [{HEALTHY: "1x60"}, {HEALTHY: "0x60"}],
    "FleetAtMaximum": [{MEMBERS: "20x60"}],
    "ScalerQueryEmpty": [{ACTIVE: "_x60", SECOND: "_x60"}],
    "FleetNotGrowing": [{ACTIVE: "300x60"}],
    "ScalerFailing": [{KEDA: "0+1x60"}, {KEDA_BY_OPERATOR: "0+1x60"}],
    "GpuUnhealthy": [{HEALTHY_GPUS: "3x60"}, {DEVICES: "7x60", HEALTHY_DEVICES: "0x60"}],
}

EVERYTHING = {"keda_is_scraped": True, "nodes_are_scraped": True}

Firing = Callable[[dict[str, str]], set[str]]


@pytest.fixture
def firing(tmp_path) -> Firing:
    """Return the names of the first stack's alerts that fire after half an hour."""
    promtool = toolchain.ensure("promtool")["promtool"]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(alert_rules((STACK,), MANAGED, **EVERYTHING)))

    def judge(series: dict[str, str]) -> set[str]:
        expected: list[dict[str, Any]] = [
            {"eval_time": "30m", "alertname": alert, "exp_alerts": []} for alert in BAD
        ]
        test = {
            "rule_files": [str(rules)],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "30s",
                    "input_series": [{"series": k, "values": v} for k, v in series.items()],
                    "alert_rule_test": expected,
                }
            ],
        }
        (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
        command = [promtool, "test", "rules", tmp_path / "test.yml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0 or 'alertname="' in said, said
        return {match["name"] for match in FIRED.finditer(said)}

    return judge


def test_every_alert_has_a_fault_that_fires_it():
    (group, _) = alert_rules(STACKS, MANAGED, **EVERYTHING)["groups"]
    assert {rule["alert"] for rule in group["rules"]} == BAD.keys()


def test_the_operations_name_a_first_look_for_every_alert():
    table = (PROJECT_FOLDER / "docs/operations.md").read_text().partition("## Alerts")[2]
    assert (
        set(re.findall(r"`([A-Z]\w+)`", table.partition("\n## ")[0])) - {"OOMKilled"} == BAD.keys()
    )


def test_a_healthy_stack_raises_no_alert(firing: Firing):
    assert firing(GOOD) == set()


@pytest.mark.parametrize(
    ("alert", "change"), [(alert, change) for alert, changes in BAD.items() for change in changes]
)
def test_exactly_the_alert_for_the_fault_fires(firing: Firing, alert, change):
    assert firing(GOOD | change) == {alert}


def test_two_restarts_in_half_an_hour_are_no_crash_loop(firing: Firing):
    assert firing(GOOD | {UPTIME: TWICE_RESTARTED, ANSWERED: TWICE_RESTARTED}) == set()


def test_a_fleet_at_its_maximum_is_not_one_that_fails_to_grow(firing: Firing):
    assert firing(GOOD | {ACTIVE: "900x60", MEMBERS: "20x60"}) == {"FleetAtMaximum"}


def test_faults_of_the_same_stack_in_another_namespace_raise_no_alert(firing: Firing):
    # A node belongs to no namespace.
    faults = {
        series: values
        for changes in BAD.values()
        for change in changes
        for series, values in change.items()
        if "node=" not in series
    }
    elsewhere = {
        series.replace('namespace="ai-namespace"', 'namespace="elsewhere"'): values
        for series, values in faults.items()
    }
    assert firing(GOOD | elsewhere) == set()


def test_a_stack_without_gpus_has_no_alert_on_them():
    alone = InferenceStack.model_validate({"triton": {"gpus": 0}})
    (group,) = alert_rules((alone,), MANAGED, **EVERYTHING)["groups"]
    assert "GpuUnhealthy" not in {rule["alert"] for rule in group["rules"]}


def test_a_gateway_without_tls_has_no_alert_on_certificates():
    (group,) = alert_rules((OTHER,), MANAGED)["groups"]
    assert not [rule for rule in group["rules"] if "Certificate" in rule["alert"]]


def test_a_gateway_without_callers_has_no_alert_on_them():
    (group,) = alert_rules((OTHER,), MANAGED)["groups"]
    alerts = {rule["alert"] for rule in group["rules"]}
    assert not alerts & {"TokenKeysNotLoaded", "CallerLimited"}


def test_gateways_that_disappear_blind_the_scaler(firing: Firing):
    assert firing({}) == {"ScalerQueryEmpty"}


def test_alerts_of_two_stacks_have_their_own_bounds():
    groups = alert_rules(STACKS, MANAGED)["groups"]
    assert [group["name"] for group in groups] == [stack.scaler_name for stack in STACKS]
    for group, stack in zip(groups, STACKS, strict=True):
        text = "\n".join(rule["expr"] for rule in group["rules"])
        assert f">= {stack.autoscaler.max_replicas}" in text
        assert f"< {stack.autoscaler.min_replicas}" in text
        assert stack.envoy_cluster in text


def test_rules_match_the_namespaces_label_and_no_external_label():
    """An operator's Prometheus evaluates them, and has its external labels on no own series."""
    raw = {"kind": "existing", "address": "http://p.m.svc:9090", "namespace": "m"}
    labels = {"namespaceLabel": "kubernetes_namespace", "matchers": {"cluster": "prod-eu"}}
    rules = alert_rules((STACK,), ExistingPrometheus.model_validate({**raw, **labels}))
    text = yaml.safe_dump(rules)
    assert 'kubernetes_namespace="ai-namespace"' in text
    assert "prod-eu" not in text
