"""Flags of Triton; not shown: Triton takes them."""

import pytest

from components.triton import workload as specs
from config.sections.inference import InferenceStack
from tests.unit.declared_triton import container_of


def stack_with(image: str) -> InferenceStack:
    return InferenceStack.model_validate({"triton": {"image": image}})


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nvcr.io/nvidia/tritonserver:24.10-py3", (2, 51)),
        ("nvcr.io/nvidia/tritonserver:25.06-py3", (2, 59)),
        ("nvcr.io/nvidia/tritonserver:25.07-py3", (2, 59)),
        ("nvcr.io/nvidia/tritonserver:25.11-py3", (2, 63)),
        ("nvcr.io/nvidia/tritonserver:26.07-py3@sha256:" + "0" * 64, (2, 71)),
        ("registry:5000/triton-cpu:2.51.0-cpu", (2, 51)),
        ("registry:5000/triton-cpu", specs.OLDEST),
        ("nvcr.io/nvidia/tritonserver@sha256:" + "0" * 64, specs.OLDEST),
        ("nvcr.io/nvidia/tritonserver:latest", specs.OLDEST),
    ],
)
def test_version_is_read_from_the_tag(image, version):
    assert specs.triton_version(image) == version


def test_a_flag_that_a_version_does_not_know_is_not_given():
    def bounded(image: str) -> bool:
        return any("response-pool" in flag for flag in specs.flags(stack_with(image)))

    assert bounded("nvcr.io/nvidia/tritonserver:26.07-py3")
    assert not bounded("triton-cpu:2.51.0")


def test_models_are_asked_for_what_they_leave_out_unless_they_state_everything():
    def asked(**triton: bool) -> bool:
        stack = InferenceStack.model_validate({"triton": triton})
        return "--disable-auto-complete-config" not in specs.flags(stack)

    assert asked()
    assert not asked(completeModelConfigs=False)


def test_admin_apis_and_inference_over_http_need_a_key_that_the_pod_alone_has():
    container = container_of()
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    assert uid in container["env"]
    restricted = {
        flag.partition("=")[0]: set(flag.partition("=")[2].partition(":")[0].split(","))
        for flag in container["args"]
        if flag.endswith(":admin-key=$(POD_UID)")
    }
    admin = {"shared-memory", "model-config", "model-repository", "statistics", "trace", "logging"}
    assert restricted == {
        "--grpc-restricted-protocol": admin,
        "--http-restricted-api": {*admin, "inference", "metadata"},
    }
    assert "--model-control-mode=none" in container["args"]


def test_an_open_api_needs_no_key_over_grpc_and_one_over_http():
    flags = container_of(openApis=["model-config", "statistics"])["args"]
    keyed = {flag.partition("=")[0]: flag for flag in flags if flag.endswith("key=$(POD_UID)")}
    apis = "shared-memory,model-repository,trace,logging"
    assert keyed["--grpc-restricted-protocol"].partition("=")[2].startswith(f"{apis}:")
    assert "model-config" in keyed["--http-restricted-api"]


def test_ports_are_those_of_the_parameters():
    arguments = container_of(grpcPort=9001, httpPort=9002, metricsPort=9003)["args"]
    assert {"--grpc-port=9001", "--http-port=9002", "--metrics-port=9003"} <= set(arguments)
