"""Triton's pods: flags by its version, probes and budgets from the stack's parameters."""

import re

from components.common.labels import triton_labels
from components.common.pods import (
    Manifest,
    container_security,
    gpu_tolerations,
    node_selector,
    pod_security,
    pod_template,
    resources,
    spread,
)
from components.common.scraping import (
    TRITON_METRICS_PATH,
    TRITON_METRICS_PORT_NAME,
    scrape_annotations,
)
from components.state.content_names import REVISIONS
from components.triton import start as triton_start
from components.triton.model_repository import Repository
from components.triton.model_scripts import MODELS_PATH
from config.base import image_tag
from config.sections.gpu_nodes import GpuNodes
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus
from config.selectors import triton_selector
from config.sizing.rollout import loading_seconds, start_seconds

UID = 1000
"""User `triton-server` of the official images."""

OLDEST = (2, 51)
"""Oldest version that the flags support; assumed if the tag names none."""

_RELEASE = re.compile(r"(\d{2})\.(\d{2})\b")
_CORE_VERSION = re.compile(r"(2)\.(\d{2,3})\b")
_RESPONSE_POOL_SINCE = (2, 58)
"""Version that has `--grpc-max-response-pool-size`; 2.51 refuses to start with it."""

_ADMIN_APIS = (
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
_MIN_PING_SECONDS = 10
_NOT_SHARED = NotShared()


def triton_version(image: str) -> tuple[int, int]:
    """Return the core version (2, minor) of an image, from its tag.

    Official tags name the release's month: 24.10 is 2.51, then one minor a month; 25.07 was 2.59.1,
    so one less since. Other tags may name the core version themselves (`2.51.0-cpu`).
    """
    tag = image_tag(image)
    if core := _CORE_VERSION.match(tag):
        return int(core[1]), int(core[2])
    if release := _RELEASE.match(tag):
        month = 12 * int(release[1]) + int(release[2])
        return 2, 51 + month - (12 * 24 + 10) - (month >= 12 * 25 + 7)
    return OLDEST


def flags(stack: InferenceStack, sharing: GpuSharing = _NOT_SHARED) -> list[str]:
    """Return the command line of `tritonserver`.

    Args:
        stack: Inference stack.
        sharing: Sharing of the GPUs.
    """
    triton = stack.triton
    # Most calls that one replica can hold: the model's own queue bound refuses more.
    in_flight = triton.queue_size + stack.traffic.parallelism
    closed = [api for api in _ADMIN_APIS if api not in triton.open_apis]
    return [
        f"--model-repository={MODELS_PATH}",
        # A client that may load models may run code.
        "--model-control-mode=none",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={stack.triton_exit_seconds}",
        f"--grpc-port={triton.grpc_port}",
        f"--http-port={triton.http_port}",
        f"--metrics-port={triton.metrics_port}",
        "--allow-metrics=true",
        f"--allow-gpu-metrics={str(triton.gpus > 0).lower()}",
        f"--grpc-infer-allocation-pool-size={in_flight}",
        # gRPC's default answers a client's second ping within five minutes with GOAWAY.
        "--grpc-keepalive-permit-without-calls=1",
        f"--grpc-http2-min-recv-ping-interval-without-data={_MIN_PING_SECONDS * 1000}",
        *([] if triton.complete_model_configs else ["--disable-auto-complete-config"]),
        # Open: inference, metadata and health over gRPC, health over HTTP. The key is the pod's
        # own UID: a secret to all who cannot read pods.
        f"--grpc-restricted-protocol={','.join(closed)}:admin-key=$(POD_UID)",
        f"--http-restricted-api=inference,metadata,{','.join(_ADMIN_APIS)}:admin-key=$(POD_UID)",
        # By default the regions of all replicas have the same names.
        *(
            [f"--backend-config=python,shm-region-prefix-name={triton_start.SHM_PREFIX}"]
            if _shares_memory(stack, sharing)
            else []
        ),
        # Unbounded by default: a stream that its client does not read would fill the memory.
        *(
            [f"--grpc-max-response-pool-size={in_flight}"]
            if triton_version(triton.image) >= _RESPONSE_POOL_SINCE
            else []
        ),
    ]


def deployment_spec(
    stack: InferenceStack,
    nodes: GpuNodes,
    repository: Repository,
    prometheus: Prometheus,
    sharing: GpuSharing = _NOT_SHARED,
) -> Manifest:
    """Return the spec of Triton's Deployment.

    It states no `replicas`: the autoscaler owns their number, and a spec with a number would reset
    it at every update.

    Args:
        stack: Inference stack.
        nodes: GPU nodes; their label and taint decide the placement of the pods.
        repository: Source of the models.
        prometheus: Prometheus that scrapes the pods.
        sharing: Sharing of the GPUs.
    """
    triton = stack.triton
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{triton.shm_mib}Mi"}}
    pod: Manifest = {
        "serviceAccountName": stack.deployment_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(UID),
        "terminationGracePeriodSeconds": stack.triton_grace_seconds,
        "nodeSelector": node_selector(triton.node_architecture(nodes), gpus=triton.gpus > 0),
        "topologySpreadConstraints": spread(triton_selector(stack)),
        "containers": [_container(stack, repository, sharing)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": f"{triton.scratch_mib}Mi"}},
            # It would hide the memory that clients of MPS share with the service: kubelet mounts
            # volumes after the device plugin's mounts (`GenerateRunContainerOptions`).
            *([] if _shares_memory(stack, sharing) else [shm]),
            *repository.volumes,
        ],
    }
    if repository.init_containers:
        pod["initContainers"] = repository.init_containers
    if triton.gpus:
        pod["tolerations"] = gpu_tolerations(nodes)
    return {
        "selector": {"matchLabels": triton_selector(stack)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": triton.surge, "maxUnavailable": 0},
        },
        "revisionHistoryLimit": REVISIONS,
        "progressDeadlineSeconds": start_seconds(stack, nodes),
        "template": pod_template(
            triton_labels(stack),
            pod,
            annotations={
                **scrape_annotations(prometheus, triton.metrics_port, TRITON_METRICS_PATH),
                **repository.annotations,
                **(nodes.replica_annotations(loading_seconds(stack)) if triton.gpus else {}),
            },
            options=triton.pods,
        ),
    }


def _shares_memory(stack: InferenceStack, sharing: GpuSharing) -> bool:
    """Return True if the device plugin mounts the node's shared memory into the replicas."""
    return sharing.needs_mps_daemon and stack.triton.gpus > 0


def _container(stack: InferenceStack, repository: Repository, sharing: GpuSharing) -> Manifest:
    triton = stack.triton
    shares_memory = _shares_memory(stack, sharing)
    watchdog = triton.watchdog
    ready = {"httpGet": {"path": "/v2/health/ready", "port": "http"}}
    # Succeeds once the watchdog has an answer from every model.
    started = {"httpGet": {"path": "/", "port": "watchdog"}} if watchdog.enabled else ready
    # The hook lasts until no gateway sends calls any more, because at SIGTERM Triton unloads its
    # models. The watchdog fails the gateways' health checks while it waits.
    pre_stop: Manifest = {"sleep": {"seconds": stack.triton_pre_stop_seconds}}
    if watchdog.enabled:
        pre_stop = {"httpGet": {"path": triton_start.STOP_PATH, "port": "watchdog"}}
    live = {"httpGet": {"path": "/v2/health/live", "port": "http"}}
    return {
        "name": "triton",
        "image": triton.image,
        "imagePullPolicy": "IfNotPresent",
        "args": triton_start.command(
            stack, ["tritonserver", *flags(stack, sharing)], shares_memory=shares_memory
        ),
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own emptyDir
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        ],
        "ports": [
            {"name": "grpc", "containerPort": triton.grpc_port},
            {"name": "http", "containerPort": triton.http_port},
            {"name": TRITON_METRICS_PORT_NAME, "containerPort": triton.metrics_port},
            *([{"name": "watchdog", "containerPort": watchdog.port}] if watchdog.enabled else []),
        ],
        # Triton answers nothing before its models are loaded. The probe runs every second so that a
        # scale-up does not wait for it.
        "startupProbe": {
            **started,
            "periodSeconds": 1,
            "failureThreshold": stack.startup_budget_seconds,
        },
        # Busy is not broken: a probe may wait as long as several calls take.
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": pre_stop},
        "resources": resources(
            cpu=triton.cpu,
            memory_mib=triton.memory_mib,
            storage_mib=triton.storage_mib,
            gpus=triton.gpus,
            gpu_resource=sharing.resource,
        ),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own emptyDir
            *([] if shares_memory else [{"name": "shm", "mountPath": triton_start.SHM_PATH}]),
            *repository.mounts,
        ],
    }


def _headless(stack: InferenceStack) -> Manifest:
    return {
        "clusterIP": "None",
        "selector": triton_selector(stack),
        "ports": [{"name": "grpc", "port": stack.triton.service_port, "targetPort": "grpc"}],
    }


def service_spec(stack: InferenceStack) -> Manifest:
    """Return the spec of the headless Service: DNS answers with the ready replicas' addresses."""
    spec = _headless(stack)
    spec["ports"].append(
        {
            "name": TRITON_METRICS_PORT_NAME,
            "port": stack.triton.metrics_port,
            "targetPort": TRITON_METRICS_PORT_NAME,
        }
    )
    return spec


def discovery_service_spec(stack: InferenceStack) -> Manifest:
    """Return the spec of the headless Service by which gateways find replicas.

    DNS answers with every replica that has an address. Health checks decide which of them get
    calls, so that a replica that gets ready or stops need not wait for caches of DNS.
    """
    return {**_headless(stack), "publishNotReadyAddresses": True}


def disruption_budget_spec(stack: InferenceStack, evictable: int = 1) -> Manifest:
    """Return the spec of the PodDisruptionBudget, which holds for any size of the fleet.

    It limits the replicas that may be unavailable. `minAvailable: min` would block every node drain
    while the fleet is at its smallest, and always for a fleet of one replica.

    Args:
        stack: Inference stack.
        evictable: Replicas that drains may evict at once, unless the stack states them.
    """
    return {
        "maxUnavailable": stack.triton.disruption_budget or evictable,
        "selector": {"matchLabels": triton_selector(stack)},
        # A replica that never got ready must not block the drain of its node.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
