"""The simulated nodes follow the parameters. That a cluster takes them: integration tests."""

from typing import Any

import pytest

from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE
from config.settings import Settings
from local.simulated import nodes
from ops.stack.cluster_spec import simulated_nodes


def made_for(**parameters: Any) -> dict[str, dict[str, Any]]:
    made = nodes(simulated_nodes(Settings.model_validate(parameters)))
    return {node["metadata"]["name"]: node for node in made}


def test_there_are_as_many_nodes_of_each_kind_as_the_parameters_say() -> None:
    made = made_for(gpu_nodes={"max_size": 3}, platform={"kind": "local", "cpu_nodes": 1})
    assert list(made) == ["gpu-0", "gpu-1", "gpu-2", "cpu-0"]


def test_only_gpu_nodes_carry_the_taint_the_label_and_gpus() -> None:
    made = made_for(gpu_nodes={"max_size": 1, "labels": {"team": "vision"}})
    gpu, cpu = made["gpu-0"], made["cpu-0"]
    assert gpu["spec"]["taints"] == [
        {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}
    ]
    assert gpu["metadata"]["labels"][GPU_LABEL[0]] == GPU_LABEL[1]
    assert gpu["metadata"]["labels"]["team"] == "vision"
    assert "taints" not in cpu["spec"]
    assert GPU_LABEL[0] not in cpu["metadata"]["labels"]
    assert GPU_RESOURCE not in cpu["status"]["capacity"]


def test_time_slices_multiply_what_a_gpu_node_advertises() -> None:
    sliced = made_for(device_plugin={"time_slices": 3}, gpu_nodes={"instance_types": ["g5.xlarge"]})
    assert sliced["gpu-0"]["status"]["allocatable"][GPU_RESOURCE] == "3"


def test_a_gpu_node_offers_pods_what_the_capacity_checks_count_with() -> None:
    settings = Settings()
    status = made_for()["gpu-0"]["status"]
    allocatable = settings.gpu_nodes.allocatable
    assert status["capacity"]["cpu"] == "48"
    assert status["capacity"]["memory"] == "192Gi"
    assert status["allocatable"]["cpu"] == f"{allocatable.cpu * 1000:.0f}m"
    assert status["allocatable"]["memory"] == f"{allocatable.memory_gib * 1024:.0f}Mi"
    assert status["capacity"]["ephemeral-storage"] == "200Gi"
    assert status["allocatable"]["ephemeral-storage"] == "177Gi"
    assert settings.gpu_nodes.allocatable_disk_gib == 177
    assert status["allocatable"][GPU_RESOURCE] == str(settings.gpus_per_node)


@pytest.mark.parametrize("kind", ["gpu-0", "cpu-0"])
def test_every_node_has_what_spreads_and_selectors_ask_for(kind: str) -> None:
    labels = made_for()[kind]["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == kind
    assert labels["topology.kubernetes.io/zone"]
    assert labels["kubernetes.io/os"] == "linux"


def test_the_nodes_lie_in_more_than_one_zone() -> None:
    zones = {n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in made_for().values()}
    assert len(zones) > 1
