"""Objects of a gateway that records its calls; tests/envoy shows that Envoy acts on them."""

from typing import Any

import pytest
import yaml

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.gateway.envoy import access_log
from components.gateway.envoy import validate as validation
from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.validate import validate
from config.flows import Addresses, Pods, gateway_flows
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from tests.envoy.harness import parts

PLAIN_BESIDE_TLS = {"kind": "secret", "secretName": "tls", "acceptPlaintext": "until May"}


def stack_of(**gateway: Any) -> InferenceStack:
    return InferenceStack.model_validate({"gateway": gateway})


@pytest.fixture
def made(declare):
    def of(**gateway: Any):
        args = EnvoyGatewayArgs(config=stack_of(**gateway), prometheus=ManagedPrometheus())
        return declare(lambda: EnvoyGateway("gateway", args))

    return of


def test_envoy_reads_the_rate_of_its_log_from_a_file_of_its_config_map(made):
    declared = made(accessLog={"linesPerSecond": 7})
    data = declared.one("core/v1:ConfigMap", "gateway-files")["data"]
    (resource,) = yaml.safe_load(data[access_log.RATE_FILE])["resources"]
    bucket = resource["resource"]
    assert (bucket["max_tokens"], bucket["tokens_per_fill"], bucket["fill_interval"]) == (
        7,
        7,
        "1s",
    )
    pod = declared.one("apps/v1:Deployment")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert f"/etc/envoy/{access_log.RATE_FILE}" in mounts
    assert f"path: /etc/envoy/{access_log.RATE_FILE}" in data["envoy.yaml"]
    assert resource["name"] in data["envoy.yaml"]


def test_a_gateway_without_a_log_has_no_file_for_it(made):
    data = made().one("core/v1:ConfigMap", "gateway-files")["data"]
    assert access_log.RATE_FILE not in data
    assert "access_log" not in data["envoy.yaml"]


def test_envoy_accepts_the_log_beside_either_transport():
    log = {"okShare": 0.01, "modelHeader": "mm-model-id"}
    assert validate(bootstrap(stack_of(accessLog=log, tls=PLAIN_BESIDE_TLS))) == []


@pytest.mark.parametrize("name", ["authorization", "Cookie", "X-API-Key", "no name"])
def test_a_header_that_carries_a_secret_names_no_model(name):
    with pytest.raises(ValueError, match=r"carries a secret|name of an HTTP header"):
        stack_of(accessLog={"modelHeader": name})


@pytest.mark.parametrize(
    "log", [{"okShare": 1.1}, {"okShare": -0.1}, {"linesPerSecond": 0}, {"linesPerSecond": 201}]
)
def test_shares_and_rates_have_bounds(log):
    with pytest.raises(ValueError, match=r"(less|greater) than or equal"):
        stack_of(accessLog=log)


COLLECTOR: dict[str, Any] = {
    "collector": "otel.observability.svc:4317",
    "collectorNamespace": "observability",
    "collectorCidrs": ["10.9.0.0/24"],
}


@pytest.mark.parametrize(
    ("raw", "recorded"),
    [
        ({}, False),
        ({"accessLog": {}}, True),
        ({"tracing": COLLECTOR}, True),
        ({"callers": {}}, False),
    ],
)
def test_calls_get_request_ids_where_something_records_them(raw, recorded):
    assert parts.manager(bootstrap(stack_of(**raw)))["generate_request_id"] is recorded


def test_a_gateway_without_tracing_has_nothing_of_it():
    plain = bootstrap(stack_of())
    assert "tracing" not in str(plain)
    assert "traceparent" not in str(plain)


def test_envoy_accepts_traces_beside_the_log_and_names_of_callers():
    config = bootstrap(stack_of(tracing=COLLECTOR, accessLog={}, callers={}))
    assert validate(config) == []
    (log,) = parts.manager(config)["access_log"]
    assert log["typed_config"]["log_format"]["json_format"]["trace_id"] == "%TRACE_ID%"


def test_network_policies_let_the_gateways_connect_to_the_collector():
    def targets(**gateway: Any) -> list[Any]:
        stack = stack_of(**gateway)
        flows = gateway_flows(stack, ManagedPrometheus())
        return [flow.target for flow in flows if flow.ports == (4317,)]

    assert targets(tracing=COLLECTOR) == [Pods("observability"), Addresses("10.9.0.0/24")]
    assert targets() == []


@pytest.mark.parametrize(
    "collector",
    [
        "otel",
        "otel:0",
        "otel:65536",
        ":4317",
        "http://otel:4317",
        "otel:4317/v1/traces",
        "a:b@otel:4317",
        "Otel:4317",
        "10.0.0.256:4317",
    ],
)
def test_what_is_no_address_of_a_collector_is_refused(collector):
    with pytest.raises(ValueError, match="must be a host and a port without a scheme, such as"):
        stack_of(tracing={"collector": collector})


@pytest.mark.parametrize("collector", ["otel:1", "10.0.0.7:65535", "otel.observability.svc:4317"])
def test_addresses_of_collectors_are_accepted(collector):
    tracing = stack_of(tracing={"collector": collector}).gateway.tracing
    assert tracing
    assert f"{tracing.host}:{tracing.port}" == collector


def test_metrics_name_the_listed_callers_and_those_without_a_name():
    names = ["orchestrator", "spiffe://example.com/batch"]
    config = bootstrap(stack_of(callers={"metrics": {"names": names}}))
    (logger,) = parts.manager(config)["access_log"]
    metrics = logger["typed_config"]
    for kind in ("counters", "histograms"):
        (caller,) = [tag for tag in metrics[kind][0]["stat"]["tags"] if tag["name"] == "caller"]
        rules = caller["rules"]["matcher_tree"]["exact_match_map"]["map"]
        assert [*rules] == [*names, "anonymous"]
    assert "access_log" not in parts.manager(bootstrap(stack_of(callers={})))


@pytest.mark.parametrize("names", [[], ["other"], ["a b"], [""], ["a"] * 101])
def test_what_names_no_caller_has_no_metrics(names):
    with pytest.raises(ValueError, match=r"at least 1|at most 100|must not be `other`|pattern"):
        stack_of(callers={"metrics": {"names": names}})


def test_a_machine_without_envoy_checks_the_rest(monkeypatch):
    monkeypatch.setattr(validation, "envoy_path", lambda: None)
    stack = stack_of(tracing=COLLECTOR, accessLog={}, callers={"metrics": {"names": ["a"]}})
    notes = validate(bootstrap(stack))
    assert "Config" in notes[-1]
