"""The local cluster follows the parameters. Integration tests show that a cluster accepts it."""

from typing import Any

import pytest

from config.load import parse, read_stack_file
from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE
from config.sections.platform import LOCAL_CONTEXT, LOCAL_KUBECONFIG, LOCAL_REGISTRY
from config.settings import Settings
from local_cluster.errors import LocalClusterError
from local_cluster.serving import dns, images
from local_cluster.simulated import nodes
from ops.stack.cluster_spec import cluster_of, cluster_spec, simulated_nodes
from ops.stack.environment import PROJECT, StackEnvironment


def made_for(**parameters: Any) -> dict[str, dict[str, Any]]:
    made = nodes(simulated_nodes(Settings.model_validate(parameters)))
    return {node["metadata"]["name"]: node for node in made}


def test_there_are_as_many_nodes_of_each_kind_as_the_parameters_say() -> None:
    made = made_for(
        gpu_nodes={"kind": "existing", "max_size": 3}, platform={"kind": "local", "cpu_nodes": 1}
    )
    assert list(made) == ["gpu-0", "gpu-1", "gpu-2", "cpu-0"]


def test_only_gpu_nodes_carry_the_taint_the_label_and_gpus() -> None:
    made = made_for(gpu_nodes={"kind": "existing", "max_size": 1, "labels": {"team": "vision"}})
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
    sliced = made_for(
        gpu_sharing={"kind": "timeSlicing", "slices": 3},
        gpu_nodes={"kind": "existing", "instance_types": ["g5.xlarge"]},
    )
    assert sliced["gpu-0"]["status"]["allocatable"][GPU_RESOURCE] == "3"


def test_a_gpu_node_offers_pods_what_the_capacity_checks_count_with() -> None:
    settings = Settings()
    status = made_for()["gpu-0"]["status"]
    allocatable = settings.gpu_nodes.pool.allocatable
    assert status["capacity"]["cpu"] == "48"
    assert status["capacity"]["memory"] == "192Gi"
    assert status["allocatable"]["cpu"] == f"{allocatable.cpu * 1000:.0f}m"
    assert status["allocatable"]["memory"] == f"{allocatable.memory_gib * 1024:.0f}Mi"
    assert status["capacity"]["ephemeral-storage"] == "200Gi"
    assert status["allocatable"]["ephemeral-storage"] == "177Gi"
    assert settings.gpu_nodes.pool.allocatable_disk_gib == 177
    assert status["allocatable"][GPU_RESOURCE] == str(settings.gpus_of(settings.gpu_nodes.pool))


@pytest.mark.parametrize("kind", ["gpu-0", "cpu-0"])
def test_every_node_has_what_spreads_and_selectors_ask_for(kind: str) -> None:
    labels = made_for()[kind]["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == kind
    assert labels["topology.kubernetes.io/zone"]
    assert labels["kubernetes.io/os"] == "linux"


def test_the_nodes_lie_in_more_than_one_zone() -> None:
    zones = {n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in made_for().values()}
    assert len(zones) > 1


def test_the_stack_knows_the_local_cluster_by_the_names_that_it_gives_itself() -> None:
    cluster = cluster_of(StackEnvironment(stack="dev"))
    assert cluster.context == LOCAL_CONTEXT
    assert cluster.kubeconfig == PROJECT / LOCAL_KUBECONFIG
    assert images.REGISTRY == LOCAL_REGISTRY


def _dev() -> Settings:
    return parse(read_stack_file(PROJECT / "Pulumi.dev.yaml"), source="dev")


def test_dev_names_images_that_can_be_built() -> None:
    images.require_known(cluster_spec(_dev()))


def test_dev_states_the_ttl_that_its_name_server_answers_with() -> None:
    assert {stack.gateway.dns_ttl_seconds for stack in _dev().inference} == {dns.TTL_SECONDS}


def test_an_image_that_cannot_be_built_is_refused_by_its_key() -> None:
    dev = _dev()
    stack = dev.inference[0]
    gateway = stack.gateway.model_copy(update={"image": "docker.io/envoyproxy/envoy:v1.40.0"})
    changed = stack.model_copy(update={"gateway": gateway})
    settings = dev.model_copy(update={"inference": (changed,)})
    with pytest.raises(LocalClusterError) as refused:
        images.require_known(cluster_spec(settings))
    said = str(refused.value)
    assert "inference[0].gateway.image = docker.io/envoyproxy/envoy:v1.40.0" in said
    assert "triton.image =" not in said
    assert "kubemind.local/envoy:1.40.0" in said
    assert "LOCAL=simulated" in said
