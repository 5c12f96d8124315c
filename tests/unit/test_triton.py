"""Declared objects of Triton; not shown: Triton takes the flags, kubelet the probes."""

import json
import math
import os
import shutil
import subprocess
from typing import Any

import pytest

from components.triton import start
from components.triton import workload as specs
from config.load import parse
from config.sections.gateway import Gateway
from config.sections.triton import Triton
from config.settings import Settings
from config.sizing import rollout
from tests.unit.declared_triton import S3, container_of, made, pod_of


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set()


# Names and numbers


def test_names_and_ports_are_the_baselines():
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
        "watchdog": 8003,
    }


def test_replicas_are_stated_nowhere():
    for resource in made()[1].resources:
        assert "replicas" not in keys_of(resource.inputs), resource.name


@pytest.mark.parametrize("is_watched", [True, False])
def test_an_unready_replica_is_published_only_to_gateways_that_check_it(is_watched):
    stated = {"triton": {"watchdog": {"enabled": is_watched}}}
    services = made(stated)[1].all("core/v1:Service")
    published = {
        service.inputs["metadata"]["name"]: "publishNotReadyAddresses" in keys_of(service.inputs)
        for service in services
    }
    discovery = {"triton-discovery": True} if is_watched else {}
    assert published == {"ai-inference-service": False, **discovery}
    (stack,) = parse({"inference": [stated]}).inference
    assert published[stack.discovery_host.split(".")[0]] is is_watched


def test_service_and_budget_select_the_pods_and_no_other_stacks():
    spec, declared = made({"namePrefix": "a-"})
    selector = spec["selector"]["matchLabels"]
    for service in declared.all("core/v1:Service"):
        assert service.inputs["spec"]["selector"] == selector
    budget = declared.one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == selector
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    other = made({"namePrefix": "b-"})[0]["template"]["metadata"]["labels"]
    assert not selector.items() <= other.items()


@pytest.mark.parametrize("smallest", [1, 2, 20])
def test_a_node_can_be_drained_at_the_smallest_fleet(smallest):
    _, declared = made({"autoscaler": {"minReplicas": smallest}})
    budget = declared.one("policy/v1:PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_drains_evict_as_many_replicas_as_the_stack_states_or_else_its_caller():
    (stack,) = Settings().inference
    stated = stack.model_copy(update={"triton": Triton(disruption_budget=2)})
    assert specs.disruption_budget_spec(stack, 4)["maxUnavailable"] == 4
    assert specs.disruption_budget_spec(stated, 4)["maxUnavailable"] == 2


# Where it may run


def test_gpus_bind_it_to_the_tainted_gpu_nodes():
    taint = {"key": "gpu-only", "value": "yes", "effect": "NoExecute"}
    spec, _ = made({"triton": {"gpus": 2}}, gpuNodes={"kind": "existing", "taint": taint})
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"operator": "Equal", **taint}]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "2"
    assert resources["requests"]["nvidia.com/gpu"] == "2"


def test_without_gpus_it_goes_anywhere_but_the_gpu_nodes():
    pod = pod_of(gpus=0)
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "tolerations" not in pod
    assert "nvidia.com/gpu" not in keys_of(pod)
    assert "--allow-gpu-metrics=false" in pod["containers"][0]["args"]


@pytest.mark.parametrize(
    ("nodes", "architecture"),
    [
        ({"kind": "eksNodeGroups"}, "amd64"),
        ({"kind": "eksNodeGroups", "groups": [{"amiType": "AL2023_ARM_64_NVIDIA"}]}, "arm64"),
        # Of nodes that are there nothing is known, and NVIDIA's images are for both.
        ({"kind": "existing"}, None),
    ],
)
def test_on_eks_it_runs_on_the_architecture_of_the_ami(nodes, architecture):
    spec, _ = made({}, gpuNodes=nodes)
    selector = spec["template"]["spec"]["nodeSelector"]
    assert selector.get("kubernetes.io/arch") == architecture


def test_an_image_of_one_architecture_stays_away_from_other_nodes():
    pod = pod_of(gpus=0, architecture="arm64")
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}


def test_spreading_is_never_a_reason_not_to_be_scheduled():
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


def test_pod_is_restricted_with_a_read_only_root():
    pod = pod_of(modelRepository=S3)
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


def test_no_token_of_the_api_server_is_mounted():
    _, declared = made()
    assert declared.one("core/v1:ServiceAccount")["automountServiceAccountToken"] is False
    pod = declared.one("apps/v1:Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == declared.one("core/v1:ServiceAccount")["metadata"]["name"]


def test_shared_memory_is_a_stated_size_in_memory():
    pod = pod_of(shmMib=512)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize("is_watched", [True, False])
@pytest.mark.parametrize("left", [(), ("region", ".hidden", "-rf", "a b")])
def test_a_container_starts_the_server_in_an_empty_shared_memory(tmp_path, left, is_watched):
    """By the machine's bash. The serving cluster shows that kubelet restarts a container so."""
    for name in left:
        (tmp_path / name).write_bytes(b"stale")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    arguments = container_of(watchdog={"enabled": is_watched})["args"]
    assert arguments[:2] == ["bash", "-ec"]
    assert arguments[3:5] == ["start", "python3" if is_watched else "tritonserver"]
    # kubelet would put a variable's value there.
    assert not any("$(" in argument for argument in arguments if "admin-key" not in argument)
    script = arguments[2].replace("/dev/shm", str(tmp_path))
    command = ["bash", "-ec", script, "start", "bash", "-c", 'echo "$0 $1 $PPID"', "a b", "-c"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        said = started.communicate()[0]
    assert started.returncode == 0
    assert said == f"a b -c {os.getpid()}\n"
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_python_starts_the_server_unwatched_and_says_so(tmp_path):
    """By the machine's bash, which finds nothing but the server."""
    server = tmp_path / "tritonserver"
    server.write_text('#!/bin/bash\necho "$1"\n')
    server.chmod(0o755)
    (tmp_path / "rm").symlink_to("/bin/rm")
    first, *rest = container_of()["args"]
    script = [word.replace("/dev/shm", str(tmp_path / "shm")) for word in rest]
    started = subprocess.run(
        [shutil.which(first), *script], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert started.stdout == "--model-repository=/models\n"
    assert "the image has no python3" in started.stderr


# Its life


def test_probes_follow_the_stated_load_time():
    container = container_of(loadSeconds=100)
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 230
    assert startup["httpGet"] == {"path": "/", "port": "watchdog"}
    ready = {"path": "/v2/health/ready", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == ready
    unwatched = container_of(watchdog={"enabled": False})
    assert unwatched["startupProbe"]["httpGet"] == ready
    assert "watchdog" not in {port["name"] for port in unwatched["ports"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_nothing_gives_up_before_the_start_up_budget_is_used():
    spec, _ = made({"triton": {"startupBudgetSeconds": 3000}})
    assert spec["progressDeadlineSeconds"] > 3000


def test_a_copy_of_the_models_has_its_time_before_the_start_up_budget():
    def waited(**repository):
        return made({"triton": repository})[0]["progressDeadlineSeconds"]

    s3 = {"kind": "s3", "uri": "s3://models/all", "cacheGib": 50}
    assert waited(modelRepository=s3) == waited() + 512  # at 100 MiB/s


def test_up_waits_for_a_whole_rollout_of_the_largest_fleet():
    settings = Settings.model_validate({"inference": [{"triton": {"maxSurge": 5}}]})
    (stack,) = settings.inference
    start = rollout.start_seconds(stack, settings.gpu_nodes.pool)
    each = 60 + stack.triton_grace_seconds
    assert rollout.rollout_seconds(stack, settings.gpu_nodes.pool) == start + 3 * each


@pytest.mark.parametrize(
    ("percent", "surge", "rounds"), [(1, 1, 20), (20, 4, 5), (24, 5, 4), (34, 7, 3), (100, 20, 1)]
)
def test_a_surge_of_a_share_is_rounded_up_and_shortens_the_rollout(percent, surge, rounds):
    """As the Deployment controller does; the API server has the share itself."""
    raw = {"triton": {"maxSurgePercent": percent}, "autoscaler": {"maxReplicas": 20}}
    (stack,) = Settings.model_validate({"inference": [raw]}).inference
    nodes = Settings().gpu_nodes.pool
    each = math.ceil(stack.triton.ready_seconds + stack.triton_grace_seconds)
    start = rollout.start_seconds(stack, nodes)
    assert stack.surge_replicas == 20 + surge
    assert rollout.rollout_seconds(stack, nodes) == start + (rounds - 1) * each
    assert made(raw)[0]["strategy"]["rollingUpdate"]["maxSurge"] == f"{percent}%"


def test_a_rollout_never_takes_a_replica_before_its_successor_is_ready():
    strategy = made({"triton": {"maxSurge": 3}})[0]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0},
    }


def test_drain_wait_exit_and_grace_are_one_chain():
    spec, _ = made({"traffic": {"maxStreamSeconds": 120}})
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["lifecycle"]["preStop"] == {
        "httpGet": {"path": start.STOP_PATH, "port": "watchdog"}
    }
    pre_stop = json.loads(container["args"][7])["pre_stop_seconds"]
    (exit_flag,) = [a for a in container["args"] if a.startswith("--exit-timeout-secs=")]
    exit_seconds = int(exit_flag.partition("=")[2])
    checks = Gateway().health_checks
    assert pre_stop > checks.interval_seconds + checks.timeout_seconds
    assert exit_seconds > 120
    assert pod["terminationGracePeriodSeconds"] > pre_stop + exit_seconds
