"""`make up LOCAL=serving` ends with a served inference, heals, and leaves the machine as it was.

Real are kubelet, containerd, CoreDNS, Envoy, Triton (CPU), Prometheus and KEDA. Not shown here:
GPUs, and that a NetworkPolicy is enforced, which no CNI plugin of the local node does.
"""

import json
import os
import signal

import psutil

from local import processes
from local.cluster import Cluster
from local.serving.plan import NODE_NAME
from tests.integration.checkout import Checkout
from tests.serving.machine import Machine, look

NAMESPACE = "ai-namespace"


def _cluster(checkout: Checkout) -> Cluster:
    return Cluster(checkout.env.state_dir)


def _get(checkout: Checkout, *arguments: str) -> list[dict]:
    shown = checkout.kubectl("get", *arguments, "-o", "json").ok().stdout
    return json.loads(shown)["items"]


def test_a_call_through_the_gateway_is_answered_by_the_model(served: Checkout) -> None:
    answered = served.ops("infer", "--text", "hello").ok().stdout
    assert "echo 1 answered in" in answered
    assert "'hello'" in answered


def test_the_one_node_is_real_and_has_the_gpus_that_the_parameters_say(served: Checkout) -> None:
    (node,) = _get(served, "nodes")
    assert node["metadata"]["name"] == NODE_NAME
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "24"


def test_every_pod_runs_containers_that_are_ready(served: Checkout) -> None:
    pods = _get(served, "pods", "-A")
    assert {pod["metadata"]["namespace"] for pod in pods} >= {NAMESPACE, "keda", "observability"}
    for pod in pods:
        statuses = pod["status"]["containerStatuses"]
        assert all(status["ready"] for status in statuses), pod["metadata"]["name"]
        assert all(status["containerID"] for status in statuses)


def test_the_scaler_is_ready_and_the_hpa_shows_its_metric(served: Checkout) -> None:
    (scaled,) = _get(served, "scaledobjects", "-n", NAMESPACE)
    ready = {c["type"]: c["status"] for c in scaled["status"]["conditions"]}
    assert ready["Ready"] == "True"
    (autoscaler,) = _get(served, "hpa", "-n", NAMESPACE)
    (metric,) = autoscaler["status"]["currentMetrics"]
    assert "averageValue" in metric["external"]["current"]


def test_status_shows_pods_calls_and_the_scaler(served: Checkout) -> None:
    shown = served.ops("status", "--once").ok().stdout
    for words in ("triton-inference-deployment", "in flight", "refused", "replicas wanted"):
        assert words in shown


def test_a_node_that_was_killed_comes_back_with_what_was_in_it(served: Checkout) -> None:
    cluster = _cluster(served)
    before = cluster.cluster_id()
    (first,) = processes.find(cluster.paths.root)["node-init"]
    inside = {child.pid for child in first.children(recursive=True)}
    assert inside
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=30)
    # The kernel ends with the first process all that is in its namespace.
    assert not any(psutil.pid_exists(pid) for pid in inside)
    served.up().ok()
    assert cluster.cluster_id() == before
    assert "echo 1 answered in" in served.ops("infer").ok().stdout


def test_down_leaves_the_machine_as_it_was(machine_before: Machine, served: Checkout) -> None:
    root = _cluster(served).paths.root
    during = look()
    assert during.sysctls == machine_before.sysctls
    assert during.mounts == machine_before.mounts
    assert during.interfaces == machine_before.interfaces
    assert during.cgroups > machine_before.cgroups
    served.ops("down").ok()
    assert look() == machine_before
    assert not root.exists()
    assert not processes.find(root)
