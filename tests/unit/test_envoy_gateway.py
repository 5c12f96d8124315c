"""Declared objects of the gateway; tests/envoy show that Envoy acts on them as meant."""

from typing import Any

import pytest
import yaml

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.gateway.envoy.bootstrap import arguments, bootstrap
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus

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

    def of(*, separate_nodes: bool = False, **raw: Any):
        args = EnvoyGatewayArgs(
            config=stack_of(**raw), prometheus=ManagedPrometheus(), separate_nodes=separate_nodes
        )
        return declare(lambda: EnvoyGateway("gateway", args))

    return of


def deployment(declared) -> dict[str, Any]:
    return declared.one("apps/v1:Deployment")["spec"]


def pod(declared) -> dict[str, Any]:
    return deployment(declared)["template"]["spec"]


def envoy(declared) -> dict[str, Any]:
    (container,) = pod(declared)["containers"]
    return container


def test_the_config_map_holds_what_envoy_reads_and_the_hook_runs(made):
    declared = made()
    config_map = declared.one("core/v1:ConfigMap", "gateway-files")
    data = config_map["data"]
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
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]


def test_the_files_are_named_by_their_contents_and_never_change(made):
    resource = made().resource("core/v1:ConfigMap", "gateway-files")
    assert resource.inputs["immutable"]
    assert resource.retain_on_delete


def test_pods_of_an_earlier_release_keep_the_name_that_they_mount(made):
    kept = made().one("core/v1:ConfigMap", "gateway-config")
    assert kept["metadata"]["name"] == "envoy-gateway"
    assert not kept.get("immutable")


def files_of(declared) -> str:
    (volume,) = pod(declared)["volumes"]
    return volume["configMap"]["name"]


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
    assert (files_of(made(**raw)) != files_of(made())) is rolls


def test_a_gateway_goes_only_after_its_successor_is_ready(made):
    spec = deployment(made(gateway={"replicas": 3}))
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    budget = made().one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == spec["selector"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


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


@pytest.mark.parametrize("separate_nodes", [False, True])
def test_gateways_wait_for_separate_nodes_and_never_for_zones(made, separate_nodes):
    """Not shown: that the scheduler acts on it."""
    zones, nodes = pod(made(separate_nodes=separate_nodes))["topologySpreadConstraints"]
    assert zones["whenUnsatisfiable"] == "ScheduleAnyway"
    required = {
        "whenUnsatisfiable": "DoNotSchedule",
        "minDomains": 2,
        # Or GPU nodes, whose taint a gateway does not tolerate, would be counted as free nodes.
        "nodeTaintsPolicy": "Honor",
    }
    assert (required.items() <= nodes.items()) is separate_nodes


@pytest.mark.parametrize(
    ("tier", "stated", "separate"),
    [("prod", None, True), ("prod", False, False), ("staging", None, False), ("dev", True, True)],
)
def test_gateways_have_separate_nodes_in_prod_unless_the_parameters_say_otherwise(
    tier, stated, separate
):
    gateway = stack_of(gateway={"separateNodes": stated}).gateway
    assert gateway.on_separate_nodes(tier) is separate


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
    assert annotations[f"{prefix}-attributes"] == "load_balancing.cross_zone.enabled=true"
    assert "pulumi.com/skipAwait" not in annotations, "its address is an output"


def balancer(declared) -> dict[str, str]:
    """The annotations of the load balancer, without their prefix."""
    prefix = "service.beta.kubernetes.io/aws-load-balancer-"
    annotations = declared.one("core/v1:Service")["metadata"]["annotations"]
    return {name.removeprefix(prefix): value for name, value in annotations.items()}


def test_pods_come_after_their_load_balancer_and_the_engine_waits_for_it_alone(made):
    declared = made(gateway=BALANCER)
    deployment = declared.resource("apps/v1:Deployment")
    assert "gateway-service" in deployment.depends_on
    waits = declared.one("core/v1:Service")["metadata"]["annotations"]["pulumi.com/waitFor"]
    assert waits == "jsonpath={.status.loadBalancer.ingress[0].hostname}"


def test_pods_without_a_load_balancer_do_not_wait_for_the_service(made):
    assert "gateway-service" not in made().resource("apps/v1:Deployment").depends_on


def test_a_stable_name_of_the_load_balancer_is_the_endpoint(made):
    """Not shown: external-dns, which reads the annotation."""
    exposure = {**BALANCER["exposure"], "hostName": "inference.example.com"}
    declared = made(gateway={"exposure": exposure})
    annotations = declared.one("core/v1:Service")["metadata"]["annotations"]
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == "inference.example.com"
    assert declared.outputs["gateway"]["endpoint"] == "inference.example.com:8080"


def test_failed_health_checks_reset_no_connection_while_a_gateway_stops(made):
    """Not shown: that AWS acts on the attributes. Their names and ranges are botocore's."""
    raw = {"gateway": {**BALANCER, "endpointLagSeconds": 60}}
    attributes = balancer(made(**raw))["target-group-attributes"].split(",")
    unhealthy = "target_health_state.unhealthy"
    assert f"{unhealthy}.connection_termination.enabled=false" in attributes
    grace = stack_of(**raw).gateway_grace_seconds
    assert f"{unhealthy}.draining_interval_seconds={grace}" in attributes


@pytest.mark.parametrize(
    ("connections", "failed"),
    [
        (1, 3),  # 2 s, in which one check can fail: the controller's default.
        (6, 4),  # 12 s, in which three checks can fail.
        (10_000, 10),  # The most that AWS allows.
    ],
)
def test_a_burst_on_all_connections_leaves_a_gateway_healthy(made, connections, failed):
    declared = made(gateway=BALANCER, traffic={"clientConnections": connections})
    annotations = balancer(declared)
    assert annotations["healthcheck-unhealthy-threshold"] == str(failed)
    assert annotations["healthcheck-interval"] == "5"
    readiness = envoy(declared)["readinessProbe"]
    assert (readiness["periodSeconds"], readiness["failureThreshold"]) == (5, failed)


def test_traffic_between_zones_can_be_turned_off(made):
    exposure = {**BALANCER["exposure"], "crossZone": False}
    annotations = balancer(made(gateway={"exposure": exposure}))
    assert annotations["attributes"] == "load_balancing.cross_zone.enabled=false"


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
    outputs = made(**raw).outputs["gateway"]
    assert outputs["endpoint"] == outputs["clusterEndpoint"] == endpoint


def test_pods_of_the_cluster_have_an_address_beside_the_load_balancers(made):
    outputs = made(gateway=BALANCER).outputs["gateway"]
    assert outputs["endpoint"] == "nlb.example.com:8080"
    assert outputs["clusterEndpoint"] == "envoy-gateway.ai-namespace.svc.cluster.local:8080"


def test_two_stacks_share_no_name(made):
    def names(declared) -> set[tuple[str, str]]:
        return {(r.typ, r.inputs["metadata"]["name"]) for r in declared.resources if r.custom}

    assert not names(made()) & names(made(namePrefix="team-a-"))
