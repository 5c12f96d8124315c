"""What is declared for Triton; that Triton takes the flags and kubelet the probes is not shown."""

import base64
from typing import Any

import pytest

from components.specs import triton as specs
from components.triton import Triton, TritonArgs
from config.gateway import Gateway
from config.inference import InferenceStack
from config.model_files import MAX_BYTES, ModelFilesError, read_model_files
from config.settings import Settings

S3 = {"kind": "s3", "uri": "s3://models/prod", "roleArn": "arn:aws:iam::1:role/r"}


@pytest.fixture
def made(declare):
    """Declare Triton of raw settings: its Deployment's spec, and all that is made."""

    def of(stack: dict[str, Any] | None = None, **raw: Any):
        settings = Settings.model_validate({"inference": [stack or {}], **raw})
        args = TritonArgs(
            config=settings.inference[0], nodes=settings.gpu_nodes, cluster_name="eks"
        )
        declared = declare(lambda: Triton("triton", args))
        return declared.one("apps/v1:Deployment")["spec"], declared

    return of


def pod_of(made, **triton: Any) -> dict[str, Any]:
    return made({"triton": triton})[0]["template"]["spec"]


def container_of(made, **triton: Any) -> dict[str, Any]:
    (container,) = pod_of(made, **triton)["containers"]
    return container


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set()


def stack_with(image: str) -> InferenceStack:
    return InferenceStack.model_validate({"triton": {"image": image}})


# Names and numbers


def test_names_and_ports_are_the_seeds(made):
    spec, declared = made()
    assert declared.resource("apps/v1:Deployment", "triton-inference-deployment")
    service = declared.one("core/v1:Service", "ai-inference-service")
    assert service["metadata"]["namespace"] == "ai-namespace"
    assert service["spec"]["clusterIP"] == "None"
    assert [(p["name"], p["port"]) for p in service["spec"]["ports"]] == [
        ("grpc", 9000),
        ("metrics", 8002),
    ]
    ports = spec["template"]["spec"]["containers"][0]["ports"]
    assert {p["name"]: p["containerPort"] for p in ports} == {
        "grpc": 8001,
        "http": 8000,
        "metrics": 8002,
    }


def test_replicas_are_stated_nowhere(made):
    for resource in made()[1].resources:
        assert "replicas" not in keys_of(resource.inputs), resource.name


def test_an_unready_replica_is_never_published(made):
    assert "publishNotReadyAddresses" not in keys_of(made()[1].one("core/v1:Service"))


def test_service_and_budget_select_the_pods_and_no_other_stacks(made):
    spec, declared = made({"namePrefix": "a-"})
    selector = spec["selector"]["matchLabels"]
    assert declared.one("core/v1:Service")["spec"]["selector"] == selector
    budget = declared.one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == selector
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    other = made({"namePrefix": "b-"})[0]["template"]["metadata"]["labels"]
    assert not selector.items() <= other.items()


@pytest.mark.parametrize("smallest", [1, 2, 20])
def test_a_node_can_be_drained_at_the_smallest_fleet(made, smallest):
    _, declared = made({"autoscaler": {"minReplicas": smallest}})
    budget = declared.one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


# Where it may run


def test_gpus_bind_it_to_the_tainted_gpu_nodes(made):
    taint = {"key": "gpu-only", "value": "yes", "effect": "NoExecute"}
    spec, _ = made({"triton": {"gpus": 2}}, gpuNodes={"taint": taint})
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"operator": "Equal", **taint}]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "2"
    assert resources["requests"]["nvidia.com/gpu"] == "2"


def test_without_gpus_it_goes_anywhere_but_the_gpu_nodes(made):
    pod = pod_of(made, gpus=0)
    assert not {"nodeSelector", "tolerations"} & set(pod)
    assert "nvidia.com/gpu" not in keys_of(pod)
    assert "--allow-gpu-metrics=false" in pod["containers"][0]["args"]


def test_spreading_is_never_a_reason_not_to_be_scheduled(made):
    spec, _ = made()
    constraints = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [c["topologyKey"] for c in constraints] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for constraint in constraints:
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["labelSelector"] == spec["selector"]


# What it may do


def test_pod_is_restricted_with_a_read_only_root(made):
    pod = pod_of(made, modelRepository=S3)
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, 1000, 1000)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        home = {"name": "HOME", "value": "/tmp"}
        assert home in container["env"]
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_no_token_of_the_api_server_is_mounted(made):
    _, declared = made()
    assert declared.one("core/v1:ServiceAccount")["automountServiceAccountToken"] is False
    pod = declared.one("apps/v1:Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == declared.one("core/v1:ServiceAccount")["metadata"]["name"]


def test_shared_memory_is_a_stated_size_in_memory(made):
    pod = pod_of(made, shmMib=512)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


# Its life


def test_probes_follow_the_stated_load_time(made):
    container = container_of(made, loadSeconds=100)
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 230
    assert startup["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == startup["httpGet"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_nothing_gives_up_before_the_start_up_budget_is_used(made):
    spec, declared = made({"triton": {"startupBudgetSeconds": 3000}})
    assert spec["progressDeadlineSeconds"] > 3000
    waited = declared.resource("apps/v1:Deployment").create_timeout
    assert waited == f"{spec['progressDeadlineSeconds']}s"


def test_pulumi_waits_for_a_whole_roll_out_of_the_largest_fleet():
    settings = Settings.model_validate({"inference": [{"triton": {"maxSurge": 5}}]})
    (stack,) = settings.inference
    start = specs.start_seconds(stack, settings.gpu_nodes)
    each = 60 + stack.triton_grace_seconds
    assert specs.rollout_seconds(stack, settings.gpu_nodes) == start + 3 * each


def test_a_roll_out_never_takes_a_replica_before_its_successor_is_ready(made):
    strategy = made({"triton": {"maxSurge": 3}})[0]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0},
    }


def test_drain_wait_exit_and_grace_are_one_chain(made):
    spec, _ = made({"traffic": {"maxStreamSeconds": 120}})
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (exit_flag,) = [a for a in container["args"] if a.startswith("--exit-timeout-secs=")]
    exit_seconds = int(exit_flag.partition("=")[2])
    assert pre_stop > Gateway().dns_ttl_seconds
    assert exit_seconds > 120
    assert pod["terminationGracePeriodSeconds"] > pre_stop + exit_seconds


# Flags


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


def test_admin_apis_and_inference_over_http_need_a_key_that_the_pod_alone_has(made):
    container = container_of(made)
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


def test_ports_are_those_of_the_parameters(made):
    arguments = container_of(made, grpcPort=9001, httpPort=9002, metricsPort=9003)["args"]
    assert {"--grpc-port=9001", "--http-port=9002", "--metrics-port=9003"} <= set(arguments)


# Model repositories


def mounted_files(pod: dict[str, Any], config_map: dict[str, Any]) -> dict[str, bytes]:
    """What Triton sees under /models, as kubelet would project the ConfigMap."""
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    data = {key: text.encode() for key, text in config_map["data"].items()}
    data |= {k: base64.b64decode(v) for k, v in config_map.get("binaryData", {}).items()}
    projected = {item["path"]: data[item["key"]] for item in volume["configMap"]["items"]}
    seen = {}
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["name"] == "models":
            assert mount["readOnly"] is True
            inside = f"{mount['subPath']}/"
            for path, content in projected.items():
                if path.startswith(inside):
                    seen[f"{mount['mountPath']}/{path.removeprefix(inside)}"] = content
    return seen


def test_config_map_brings_every_file_to_its_path_binary_ones_too(made, tmp_path):
    files = {
        "one/config.pbtxt": b"name: 'one'",
        "one/1/model.onnx": bytes(range(256)),
        "two/1/a b.py": b"spaces",
        "two/1/a-b.py": b"no spaces",
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "one/1/__pycache__").mkdir()
    (tmp_path / "one/1/__pycache__/model.pyc").write_bytes(b"\0")
    repository = {"kind": "configMap", "folder": str(tmp_path)}
    spec, declared = made({"triton": {"modelRepository": repository}})
    seen = mounted_files(spec["template"]["spec"], declared.one("core/v1:ConfigMap"))
    assert seen == {f"/models/{path}": content for path, content in files.items()}


def test_triton_never_sees_the_volumes_root(made):
    """Kubelet's `..data` lies there: Triton 2.51 took it for a model, and exited."""
    mounts = container_of(made)["volumeMounts"]
    assert [m["mountPath"] for m in mounts if m["name"] == "models"] == ["/models/echo"]


def test_changed_models_are_another_immutable_config_map(made):
    def config_map(service_time: float) -> dict[str, Any]:
        _, declared = made({"traffic": {"serviceTimeSeconds": service_time}})
        return declared.one("core/v1:ConfigMap")

    slow, fast = config_map(0.5), config_map(0.02)
    assert slow["immutable"] is True
    assert slow["metadata"]["name"] != fast["metadata"]["name"]


def test_sample_model_has_the_stacks_own_queue_and_speed():
    raw = {
        "traffic": {"serviceTimeSeconds": 0.05, "parallelism": 3},
        "triton": {"queueSize": 17},
    }
    config = read_model_files(InferenceStack.model_validate(raw), "models")["echo/config.pbtxt"]
    text = config.decode()
    for name, value in {"service_time_seconds": 0.05, "parallelism": 3, "queue_size": 17}.items():
        assert f'key: "{name}" value: {{ string_value: "{value}" }}' in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no such folder, or no files in it"),
        ({"config.pbtxt": ""}, "config.pbtxt belongs to no model"),
        (
            {"m/1/weights": "x" * (MAX_BYTES + 1)},
            "1,048,577 bytes, and a ConfigMap holds 1,048,576",
        ),
        ({"m/config.pbtxt.template": "${queue}"}, "unknown placeholder 'queue'; known are "),
        ({"m/config.pbtxt.template": "5 $"}, "a dollar sign is written $$"),
    ],
)
def test_a_folder_that_cannot_be_a_config_map_says_why(tmp_path, files, message):
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    with pytest.raises(ModelFilesError) as caught:
        read_model_files(InferenceStack(), str(tmp_path))
    assert message in str(caught.value)


def test_s3_is_copied_before_triton_starts_and_is_read_only_to_it(made):
    repository = {**S3, "region": "eu-west-1", "cacheGib": 7}
    pod = pod_of(made, modelRepository=repository)
    (sync,), (triton,) = pod["initContainers"], pod["containers"]
    environment = {item["name"]: item.get("value") for item in sync["env"]}
    assert environment["SOURCE"] == "s3://models/prod"
    assert environment["AWS_REGION"] == "eu-west-1"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert 'aws s3 sync "$SOURCE" /models' in sync["command"][-1]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]
    assert volume["emptyDir"] == {"sizeLimit": "7Gi"}
    assert {"name": "models", "mountPath": "/models"} in sync["volumeMounts"]
    read_only = {"name": "models", "mountPath": "/models", "readOnly": True}
    assert read_only in triton["volumeMounts"]


def test_no_key_is_ever_handed_to_a_pod(made):
    pod = pod_of(made, modelRepository=S3)
    names = {i["name"] for c in (*pod["initContainers"], *pod["containers"]) for i in c["env"]}
    assert not {name for name in names if "KEY" in name or "SECRET" in name or "TOKEN" in name}


def test_copy_counts_as_disk_that_the_pod_asks_for(made):
    def disk(**triton: Any) -> int:
        requests = container_of(made, **triton)["resources"]["requests"]
        return int(requests["ephemeral-storage"].removesuffix("Mi"))

    assert disk(modelRepository={**S3, "cacheGib": 7}) == disk() + 7 * 1024


def test_identity_is_there_before_the_first_pod(made):
    _, declared = made({"triton": {"modelRepository": S3}})
    waits = declared.resource("apps/v1:Deployment").depends_on
    assert declared.resource("eks/podIdentityAssociation:PodIdentityAssociation").name in waits


def test_irsa_is_an_annotation_of_the_service_account(made):
    repository = {**S3, "identity": "irsa"}
    _, declared = made({"triton": {"modelRepository": repository}})
    annotations = declared.one("core/v1:ServiceAccount")["metadata"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}


@pytest.mark.parametrize(("path", "mounted"), [("", None), ("/a/b/", "a/b")])
def test_volume_is_mounted_read_only_from_the_folder(made, path, mounted):
    pod = pod_of(made, modelRepository={"kind": "pvc", "claim": "models", "path": path})
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "models"]
    assert mount["readOnly"] is True
    assert mount.get("subPath") == mounted
