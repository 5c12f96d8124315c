"""`make up LOCAL=serving` ends with a served inference.

Real are kubelet, containerd, CoreDNS, Envoy, Triton (CPU), Prometheus and KEDA. Not shown here:
GPUs, and that a NetworkPolicy is enforced, which no CNI plugin of the local node does.
"""

from local.serving.plan import NODE_NAME
from tests.integration.checkout import Checkout
from tests.serving.cluster import get, staying

NAMESPACE = "ai-namespace"


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


def test_status_shows_pods_calls_and_the_scaler(served: Checkout) -> None:
    shown = served.ops("status", "--once").ok().stdout
    for words in ("triton-inference-deployment", "in flight", "refused", "replicas wanted"):
        assert words in shown
