"""`make up LOCAL=serving` ends with a served inference.

Real are kubelet, containerd, CoreDNS, Envoy, Triton (CPU), Prometheus and KEDA. Not shown here:
GPUs, and that a NetworkPolicy is enforced, which no CNI plugin of the local node does.
"""

from pathlib import Path

from lightkube.utils.quantity import parse_quantity

from bench.overload.burst_process import BurstProcess
from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.preflight.prometheus import prometheus
from components.cluster.preflight.reader import ClusterReader
from config.sections.platform import KubeconfigPlatform
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from local_cluster.serving.layout import NODE_NAME
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address, prometheus_address
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout, Ran
from tests.printed import rows
from tests.serving.accounts import accounted
from tests.serving.cluster import get, staying

NAMESPACE = "ai-namespace"

LATE_WINDOW, LATE_SECONDS = 24, 0.2
"""Calls held, and their deadline, such that two replicas answer some of them and the others end at
it: each is asked for 12 calls of 20 ms. None need be refused, and the scaler wants no more."""


def test_up_ends_with_an_answered_call_and_says_how_to_send_another(
    provisioning: tuple[Checkout, Ran],
) -> None:
    checkout, ran = provisioning
    assert "echo 1 answered in" in ran.stdout
    assert f"The gateway is at {gateway_address(checkout.env)} (gRPC" in ran.stdout
    assert f"Prometheus at http://{prometheus_address(checkout.env)}." in ran.stdout
    assert "\nSend one call:  make infer\n" in ran.stdout


def test_a_call_through_the_gateway_is_answered_by_the_model(served: Checkout) -> None:
    answered = served.ops("infer", "--text", "hello").ok().stdout
    assert "echo 1 answered in" in answered
    assert "'hello'" in answered


def test_the_one_node_is_real_and_has_the_gpus_that_the_parameters_say(served: Checkout) -> None:
    (node,) = get(served, "nodes")
    assert node["metadata"]["name"] == NODE_NAME
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "24"


def test_every_pod_runs_containers_that_are_ready(served: Checkout) -> None:
    pods = staying(get(served, "pods", "-A"))
    assert {pod["metadata"]["namespace"] for pod in pods} >= {NAMESPACE, "keda", "observability"}
    for pod in pods:
        statuses = pod["status"]["containerStatuses"]
        assert all(status["ready"] for status in statuses), pod["metadata"]["name"]
        assert all(status["containerID"] for status in statuses)


def test_the_scaler_is_ready_and_the_hpa_shows_its_metric(served: Checkout) -> None:
    (scaled,) = get(served, "scaledobjects", "-n", NAMESPACE)
    ready = {c["type"]: c["status"] for c in scaled["status"]["conditions"]}
    assert ready["Ready"] == "True"
    (autoscaler,) = get(served, "hpa", "-n", NAMESPACE)
    (metric,) = autoscaler["status"]["currentMetrics"]
    assert "averageValue" in metric["external"]["current"]


def test_status_shows_pods_calls_and_the_scaler_in_numbers(
    served: Checkout, tmp_path: Path
) -> None:
    """Under a load of which part is too late. Not shown: a refusal, which would grow the fleet."""
    stack = read_settings(served.env).inference[0]

    def shown() -> dict[str, list[str]]:
        found = rows(served.ops("status", "--once").ok().stdout)
        numbers = [float(found[row][0].removesuffix(" /s")) for row in busy if found[row][0] != "-"]
        seen = parse_quantity(found["seen per replica"][0].replace("-", "0")) or 0
        is_busy = len(numbers) == len(busy) and min(numbers) > 0 and seen > 0
        return found if is_busy and {found[row][0] for row in silent} == {"0.0 /s"} else {}

    busy = ("in flight", "ended, deadline passed (streams: longest life)", "signal")
    silent = (
        "refused, replicas and waiting room full",
        "refused, gateway's limit in flight",
        "refused, no healthy replica",
    )
    with BurstProcess.start(
        gateway_address(served.env),
        window=LATE_WINDOW,
        deadline_seconds=LATE_SECONDS,
        folder=tmp_path,
    ) as client:
        found = wait_until("status shows the load, and that none of it is refused", shown, 120)
        deployments = get(served, "deployments", "-n", NAMESPACE)
        accounted(client.stop())
    assert float(found["in flight"][0]) <= LATE_WINDOW
    for deployment in deployments:
        replicas = str(deployment["spec"]["replicas"])
        assert found[deployment["metadata"]["name"]] == [replicas] * 3
    assert {stack.deployment_name, stack.gateway_name} <= found.keys()
    assert found["replicas wanted"] == found[stack.deployment_name][:1]
    assert found["threshold per replica"] == [f"{stack.autoscaler.threshold:g}"]
    assert found["ScaledObject ready"] == found["may scale"] == ["True"]


def test_preflight_asks_a_prometheus_in_the_cluster(served: Checkout) -> None:
    """By the way that KEDA would take, but for the network policies."""
    settings = read_settings(served.env)
    managed = settings.prometheus
    assert isinstance(managed, ManagedPrometheus)
    target = kubeconfig.read(KubeconfigPlatform(kind="kubeconfig", path=str(served.kubeconfig)))

    def said(address: str) -> list[str]:
        stated = ExistingPrometheus(kind="existing", address=address, namespace=managed.namespace)
        with ClusterApi(target) as api:
            reader = ClusterReader(api)
            found = prometheus(settings.model_copy(update={"prometheus": stated}), reader)
            return [str(problem) for problem in (*found, *reader.unreadable(settings.platform))]

    assert said(managed.address) == []
    (message,) = said(f"{managed.address}/elsewhere")
    assert "it answers 404" in message
