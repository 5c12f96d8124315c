"""Configuration of the gateway's Envoy and its drain; tests/envoy show that they act on it."""

import subprocess
from typing import Any

import pytest
import yaml

from components.gateway.envoy import http2, routes
from components.gateway.envoy.bootstrap import arguments, bootstrap
from components.gateway.envoy.drain import DRAIN_TIME_SECONDS, drain_script
from components.gateway.envoy.protojson import MAX_INT32, seconds
from config.sections.inference import GOAWAY_SECONDS, InferenceStack
from tests.envoy.harness import parts

STATIC = {"inFlight": {"kind": "static"}}


def stack_of(**raw: Any) -> InferenceStack:
    return InferenceStack.model_validate(raw)


@pytest.mark.parametrize(
    ("case", "raw"), [("fleet", {}), ("static", {"gateway": STATIC, "namePrefix": "team-a-"})]
)
def test_the_bootstrap_is_the_reviewed_one(golden, case, raw):
    golden(f"envoy/{case}.yaml", yaml.safe_dump(bootstrap(stack_of(**raw)), sort_keys=False))


@pytest.mark.parametrize(
    ("raw", "age"),
    [
        ({}, "900s"),
        ({"traffic": {"maxStreamSeconds": 3600}}, "3600s"),
        ({"gateway": {"maxConnectionSeconds": 120}}, "120s"),
    ],
)
def test_connections_live_at_least_as_long_as_calls_and_end_at_random(raw, age):
    options = parts.manager(bootstrap(stack_of(**raw)))["common_http_protocol_options"]
    assert options["max_connection_duration"] == age
    assert options["max_connection_duration_jitter"] == {"value": 20}


@pytest.mark.parametrize(
    ("raw", "kib"),
    [
        ({}, 64),
        ({"traffic": {"requestKib": 600}}, 600),
        ({"traffic": {"responseKib": 70.5}}, 71),
        ({"traffic": {"requestKib": 600}, "gateway": {"streamWindowKib": 128}}, 128),
    ],
)
def test_a_stream_has_room_for_a_mean_message(raw, kib):
    config = bootstrap(stack_of(**raw))
    for options in (parts.http2_down(config), parts.http2_up(config)):
        assert options["initial_stream_window_size"] == kib * 1024


def test_names_and_numbers_are_the_baselines():
    config = bootstrap(stack_of())
    listener = config["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    manager = parts.manager(config)
    assert (manager["stat_prefix"], manager["codec_type"]) == ("grpc_router", "HTTP2")
    assert manager["route_config"]["name"] == "local_route"
    assert parts.virtual_host(config)["name"] == "backend"
    cluster = parts.cluster(config)
    assert (cluster["name"], cluster["connect_timeout"]) == ("ai_inference_cluster", "0.25s")


def test_replicas_are_dialled_and_checked_on_their_own_ports():
    """The name is a headless Service's, which translates no port."""
    triton = {"servicePort": 9000, "grpcPort": 8123, "watchdog": {"port": 8124}}
    config = bootstrap(stack_of(namespace="ml", triton=triton))
    (locality,) = parts.cluster(config)["load_assignment"]["endpoints"]
    (endpoint,) = locality["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {
        "address": "triton-discovery.ml.svc.cluster.local",
        "port_value": 8123,
    }
    assert endpoint["endpoint"]["health_check_config"] == {"port_value": 8124}


def test_without_the_watchdog_triton_answers_the_checks_and_dns_names_ready_replicas():
    config = bootstrap(stack_of(namespace="ml", triton={"watchdog": {"enabled": False}}))
    (locality,) = parts.cluster(config)["load_assignment"]["endpoints"]
    (endpoint,) = locality["lb_endpoints"]
    assert endpoint == {
        "endpoint": {
            "address": {
                "socket_address": {
                    "address": "ai-inference-service.ml.svc.cluster.local",
                    "port_value": 8001,
                }
            }
        }
    }
    assert parts.health_check(config)["grpc_health_check"] == {}
    assert "http_health_check" not in parts.health_check(config)


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


def test_streams_and_unary_calls_have_times_of_their_own():
    config = bootstrap(
        stack_of(
            traffic={"deadlineSeconds": 2, "maxStreamSeconds": 90, "streamIdleSeconds": 7.5},
        )
    )
    stream, unary = (parts.named_route(config, name) for name in ("stream", "unary"))
    assert stream["route"]["max_stream_duration"] == {"max_stream_duration": "90s"}
    assert stream["route"]["idle_timeout"] == "7.5s"
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
    assert connections["typed_config"]["max_active_downstream_connections"] == 16384


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
