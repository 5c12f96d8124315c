"""What is declared for the gateway; that Envoy does with it what is meant, tests/envoy show."""

import subprocess
from typing import Any

import pytest
import yaml

from components.envoy_gateway import EnvoyGateway, EnvoyGatewayArgs
from components.specs.envoy import http2, routes
from components.specs.envoy.bootstrap import arguments, bootstrap
from components.specs.envoy.drain import DRAIN_TIME_SECONDS, drain_script
from components.specs.envoy.listener import GOAWAY_SECONDS
from components.specs.envoy.wire import MAX_INT32, seconds
from components.specs.pods import HASH_ANNOTATION
from config.inference import InferenceStack
from config.prometheus import ManagedPrometheus
from tests.envoy.harness import parts

STATIC = {"inFlight": {"kind": "static"}}
BALANCER = {
    "exposure": {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8", "172.16.0.0/12"],
        "subnetCidrs": ["10.0.0.0/24"],
    }
}


def stack_of(**raw: Any) -> InferenceStack:
    return InferenceStack.model_validate(raw)


@pytest.fixture
def made(declare):
    """Declare the gateway of a stack; all that is made."""

    def of(**raw: Any):
        args = EnvoyGatewayArgs(config=stack_of(**raw), prometheus=ManagedPrometheus())
        return declare(lambda: EnvoyGateway("gateway", args))

    return of


def deployment(declared) -> dict[str, Any]:
    return declared.one("apps/v1:Deployment")["spec"]


def pod(declared) -> dict[str, Any]:
    return deployment(declared)["template"]["spec"]


def envoy(declared) -> dict[str, Any]:
    (container,) = pod(declared)["containers"]
    return container


# The bootstrap


@pytest.mark.parametrize(
    ("case", "raw"), [("fleet", {}), ("static", {"gateway": STATIC, "namePrefix": "team-a-"})]
)
def test_the_bootstrap_is_the_reviewed_one(golden, case, raw):
    golden(f"envoy/{case}.yaml", yaml.safe_dump(bootstrap(stack_of(**raw)), sort_keys=False))


def test_names_and_numbers_are_the_seeds():
    config = bootstrap(stack_of())
    listener = config["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    manager = parts.manager(config)
    assert (manager["stat_prefix"], manager["codec_type"]) == ("grpc_router", "HTTP2")
    assert manager["route_config"]["name"] == "local_route"
    assert parts.virtual_host(config)["name"] == "backend"
    cluster = parts.cluster(config)
    assert (cluster["name"], cluster["connect_timeout"]) == ("ai_inference_cluster", "0.25s")


def test_replicas_are_dialled_on_tritons_own_port():
    """The name is the headless Service's, which translates no port."""
    config = bootstrap(stack_of(namespace="ml", triton={"servicePort": 9000, "grpcPort": 8123}))
    (locality,) = parts.cluster(config)["load_assignment"]["endpoints"]
    (endpoint,) = locality["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {
        "address": "ai-inference-service.ml.svc.cluster.local",
        "port_value": 8123,
    }


@pytest.mark.parametrize("gateway", [{}, STATIC])
def test_no_limit_is_left_to_envoys_defaults(gateway):
    """They are 1,024 almost everywhere, and change with releases."""
    config = bootstrap(stack_of(gateway=gateway))
    (threshold,) = parts.breakers(config)["thresholds"]
    assert {
        "max_connections",
        "max_pending_requests",
        "max_requests",
        "max_connection_pools",
        "retry_budget",
    } <= threshold.keys()
    for http2_options in (parts.http2_up(config), parts.http2_down(config)):
        assert {
            "max_concurrent_streams",
            "hpack_table_size",
            "initial_stream_window_size",
            "initial_connection_window_size",
            "max_outbound_frames",
            "max_outbound_control_frames",
            "max_consecutive_inbound_frames_with_empty_payload",
            "max_inbound_priority_frames_per_stream",
            "max_inbound_window_update_frames_per_data_frame_sent",
        } <= http2_options.keys()
    manager = parts.manager(config)
    assert {
        "max_request_headers_kb",
        "request_headers_timeout",
        "request_timeout",
        "stream_idle_timeout",
        "drain_timeout",
    } <= manager.keys()
    for route in parts.routes(config):
        assert {"timeout", "max_stream_duration", "idle_timeout"} <= route.keys()


def test_the_fleets_limit_is_written_as_the_stack_derives_it():
    stack = stack_of(gateway={"replicas": 2}, autoscaler={"maxReplicas": 20})
    config = bootstrap(stack)
    assert parts.http2_up(config)["max_concurrent_streams"] == stack.streams_per_pod == 32
    assert parts.breakers(config)["per_host_thresholds"] == [
        {"priority": "DEFAULT", "max_connections": 1}
    ]
    (threshold,) = parts.breakers(config)["thresholds"]
    assert threshold["max_pending_requests"] == stack.max_pending_requests == 16
    assert threshold["max_requests"] >= 21 * 32 + 16
    assert threshold["max_connections"] >= 21


def test_a_static_breaker_is_one_number():
    config = bootstrap(stack_of(gateway=STATIC))
    assert "per_host_thresholds" not in parts.breakers(config)
    assert parts.breakers(config)["thresholds"][0]["max_requests"] == 100
    assert parts.http2_up(config)["max_concurrent_streams"] > 100


@pytest.mark.parametrize("streams", [1024, 65536])
def test_guards_grow_with_the_streams_of_a_connection(streams):
    down = http2.downstream(stack_of(gateway={"maxConcurrentStreams": streams}))
    assert down["max_concurrent_streams"] == streams
    for guard in ("stream_reset_burst", "max_outbound_frames", "max_outbound_control_frames"):
        assert down[guard] >= 2 * streams


@pytest.mark.parametrize("window_kib", [64, 1024, 1024 * 1024])
def test_windows_of_all_streams_fit_the_connections_as_far_as_http2_goes(window_kib):
    stack = stack_of(gateway={"streamWindowKib": window_kib})
    down = http2.downstream(stack)
    wanted = stack.max_concurrent_streams * window_kib * 1024
    assert down["initial_connection_window_size"] == min(wanted, MAX_INT32)
    assert down["initial_stream_window_size"] == window_kib * 1024


def test_streams_have_a_route_of_their_own_before_the_unary_one():
    config = bootstrap(
        stack_of(
            traffic={"deadlineSeconds": 2, "maxStreamSeconds": 90, "streamIdleSeconds": 7.5},
        )
    )
    stream, unary = parts.virtual_host(config)["routes"]
    assert stream["match"] == {"path": "/inference.GRPCInferenceService/ModelStreamInfer"}
    assert stream["route"]["max_stream_duration"] == {"max_stream_duration": "90s"}
    assert stream["route"]["idle_timeout"] == "7.5s"
    assert unary["match"] == {"prefix": "/"}
    assert unary["route"]["max_stream_duration"] == {
        "max_stream_duration": "2s",
        "grpc_timeout_header_max": "2s",
        "grpc_timeout_header_offset": "0.05s",
    }


def test_a_short_deadline_loses_only_a_small_share_to_the_answer():
    assert routes.answer_seconds(stack_of(traffic={"deadlineSeconds": 0.2})) == pytest.approx(0.005)
    assert routes.answer_seconds(stack_of(traffic={"deadlineSeconds": 60})) == 0.05


def test_no_attempts_means_no_retry_policy():
    config = bootstrap(stack_of(gateway={"retries": {"attempts": 0}}))
    assert all("retry_policy" not in route for route in parts.routes(config))


def test_memory_bounds_heap_and_connections():
    (heap, connections) = bootstrap(stack_of(gateway={"memoryMib": 1024}))["overload_manager"][
        "resource_monitors"
    ]
    assert heap["typed_config"]["max_heap_size_bytes"] == 768 * 1024 * 1024
    assert connections["typed_config"]["max_active_downstream_connections"] == 6144


@pytest.mark.parametrize(
    ("value", "text"), [(2, "2s"), (0.25, "0.25s"), (0.0000015, "0.000002s"), (100.0, "100s")]
)
def test_durations_are_spelt_as_protobuf_wants_them(value, text):
    assert seconds(value) == text


def test_each_gateway_has_one_worker_and_drains_at_once():
    line = " ".join(arguments("/etc/envoy/envoy.yaml"))
    assert "--config-path /etc/envoy/envoy.yaml" in line
    assert "--concurrency 1" in line
    assert "--drain-strategy immediate" in line


# The drain


@pytest.mark.parametrize("longest", [0.5, 60, 1000])
def test_the_drain_ends_within_the_pods_grace(longest):
    stack = stack_of(traffic={"maxStreamSeconds": longest, "streamIdleSeconds": 0.5})
    lag = stack.gateway.endpoint_lag_seconds
    assert stack.gateway_drain_seconds >= DRAIN_TIME_SECONDS + longest, "a stream's whole life"
    assert stack.gateway_grace_seconds >= lag + stack.gateway_drain_seconds + 2
    assert DRAIN_TIME_SECONDS / 3 > GOAWAY_SECONDS, "or Envoy leaves silent connections alone"


def test_the_script_is_bash_and_knows_the_stacks_numbers():
    stack = stack_of(gateway={"adminPort": 19901, "endpointLagSeconds": 7})
    script = drain_script(stack)
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0
    assert "/dev/tcp/127.0.0.1/19901" in script
    assert f"SECONDS + 7 + {stack.gateway_drain_seconds}" in script
    assert "curl" not in script


# What is declared


def test_the_config_map_holds_what_envoy_reads_and_the_hook_runs(made):
    declared = made()
    data = declared.one("core/v1:ConfigMap")["data"]
    assert yaml.safe_load(data["envoy.yaml"]) == bootstrap(stack_of())
    assert "&id" not in data["envoy.yaml"]
    container = envoy(declared)
    mounted = {mount["mountPath"]: mount["subPath"] for mount in container["volumeMounts"]}
    assert mounted == {"/etc/envoy/envoy.yaml": "envoy.yaml", "/etc/envoy/drain.sh": "drain.sh"}
    assert set(mounted.values()) == data.keys()
    assert container["command"] == ["envoy", *arguments("/etc/envoy/envoy.yaml")]
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["bash", "/etc/envoy/drain.sh"]
    (volume,) = pod(declared)["volumes"]
    assert volume["configMap"]["name"] == "envoy-gateway"


def hash_of(declared) -> str:
    return deployment(declared)["template"]["metadata"]["annotations"][HASH_ANNOTATION]


@pytest.mark.parametrize(
    ("raw", "rolls"),
    [
        ({"gateway": {"outliers": {"baseEjectionSeconds": 20}}}, True),
        ({"gateway": {"endpointLagSeconds": 6}}, True),
        ({"autoscaler": {"maxReplicas": 30}}, True),
        ({"gateway": {"cpu": 2}}, False),
        ({"autoscaler": {"cooldownSeconds": 30}}, False),
    ],
)
def test_pods_roll_when_their_files_change_and_only_then(made, raw, rolls):
    assert (hash_of(made(**raw)) != hash_of(made())) is rolls


def test_a_gateway_goes_only_after_its_successor_is_ready(made):
    spec = deployment(made(gateway={"replicas": 3}))
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    budget = made().one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == spec["selector"]


def test_probes_ask_the_ops_port_and_never_the_calls_port(made):
    container = envoy(made())
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/ready", "port": "ops"}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8080, "ops": 9902}, "admin's port is not among them"


def test_grace_is_the_stacks(made):
    stack = stack_of(traffic={"maxStreamSeconds": 120})
    declared = made(traffic={"maxStreamSeconds": 120})
    assert pod(declared)["terminationGracePeriodSeconds"] == stack.gateway_grace_seconds


def test_the_pod_may_do_nothing_but_serve(made):
    declared = made()
    spec, container = pod(declared), envoy(declared)
    assert spec["automountServiceAccountToken"] is False
    assert declared.one("core/v1:ServiceAccount")["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "envoy-gateway"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10_000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "512Mi"
    assert "cpu" not in resources["limits"]


def test_pods_spread_over_zones_and_nodes(made):
    keys = {constraint["topologyKey"] for constraint in pod(made())["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_a_prometheus_without_pod_monitors_finds_the_ops_port_by_annotation(made):
    annotations = deployment(made(gateway={"opsPort": 9999}))["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "9999"
    assert annotations["prometheus.io/path"] == "/stats/prometheus"


def test_the_service_is_in_the_cluster_only_by_default(made):
    declared = made()
    service = declared.one("core/v1:Service")
    assert service["spec"]["type"] == "ClusterIP"
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["appProtocol"]) == (8080, "kubernetes.io/h2c")
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert service["spec"]["selector"] == deployment(declared)["selector"]["matchLabels"]


def test_a_load_balancer_is_internal_and_for_stated_sources_only(made):
    declared = made(gateway={**BALANCER, "opsPort": 9999})
    service = declared.one("core/v1:Service")
    spec, annotations = service["spec"], service["metadata"]["annotations"]
    assert spec["type"] == "LoadBalancer"
    assert spec["loadBalancerSourceRanges"] == ["10.0.0.0/8", "172.16.0.0/12"]
    assert spec["allocateLoadBalancerNodePorts"] is False
    prefix = "service.beta.kubernetes.io/aws-load-balancer"
    assert annotations[f"{prefix}-scheme"] == "internal"
    assert annotations[f"{prefix}-nlb-target-type"] == "ip"
    assert annotations[f"{prefix}-healthcheck-path"] == "/ready"
    assert annotations[f"{prefix}-healthcheck-port"] == "9999"
    check = {
        name: int(annotations[f"{prefix}-healthcheck-{name}"]) for name in ("timeout", "interval")
    }
    assert check["timeout"] < check["interval"], "AWS makes no target group otherwise"
    assert "preserve_client_ip.enabled=true" in annotations[f"{prefix}-target-group-attributes"]
    assert "pulumi.com/skipAwait" not in annotations, "its address is an output"


@pytest.mark.parametrize(
    ("raw", "endpoint"),
    [
        ({}, "envoy-gateway.ai-namespace.svc.cluster.local:8080"),
        (
            {"namespace": "ml", "namePrefix": "team-a-", "gateway": {"port": 9090}},
            "team-a-envoy-gateway.ml.svc.cluster.local:9090",
        ),
    ],
)
def test_the_endpoint_is_the_services_address(made, raw, endpoint):
    assert made(**raw).outputs["gateway"]["endpoint"] == endpoint


def test_two_stacks_share_no_name(made):
    def names(declared) -> set[tuple[str, str]]:
        return {(r.typ, r.inputs["metadata"]["name"]) for r in declared.resources if r.custom}

    assert not names(made()) & names(made(namePrefix="team-a-"))
