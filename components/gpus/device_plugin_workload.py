"""The NVIDIA device plugin's DaemonSet and its configuration file."""

from components.common.labels import labels
from components.common.pods import (
    HASH_ANNOTATION,
    Manifest,
    config_hash,
    container_security,
    gpu_tolerations,
    node_selector,
    pod_template,
    resources,
)
from config.sections.device_plugin import DevicePlugin
from config.sections.gpu_nodes import GpuNodes
from config.sections.gpu_sharing import GpuSharing
from config.sections.pods import PodOptions
from config.selectors import DEVICE_PLUGIN, selector

CONFIG_FILE = "config.yaml"

_CONFIG_PATH = "/config"
_CONFIG_MOUNT: Manifest = {"name": "config", "mountPath": _CONFIG_PATH, "readOnly": True}
_CONFIG_VARIABLE: Manifest = {"name": "CONFIG_FILE", "value": f"{_CONFIG_PATH}/{CONFIG_FILE}"}
_SOCKETS_PATH = "/var/lib/kubelet/device-plugins"
"""Folder of the sockets on which kubelet serves device plugins."""

_MPS_ROOT = "/run/nvidia/mps"
"""Folder of the host with the pipes, logs and shared memory of the Multi-Process Service (default
of the plugin's Helm chart, `mps.root`)."""

_MPS_PATH = "/mps"
"""The same folder in the containers (`ContainerRoot` of `cmd/mps-control-daemon/mps/root.go`)."""

_MPS_MOUNTS: list[Manifest] = [
    {"name": "mps-root", "mountPath": _MPS_PATH},
    {"name": "mps-shm", "mountPath": "/dev/shm"},  # noqa: S108 - as each client has it
]


def daemon_set_spec(plugin: DevicePlugin, nodes: GpuNodes, sharing: GpuSharing) -> Manifest:
    """Return the spec of the DaemonSet.

    Args:
        plugin: Parameters of the plugin.
        nodes: GPU nodes; the plugin selects their label and tolerates their taint.
        sharing: Sharing of the GPUs, which the plugin reads from its configuration file.
    """
    shared = sharing.plugin_configuration
    annotations = {HASH_ANNOTATION: config_hash(shared)} if shared else {}
    volumes: list[Manifest] = [
        {"name": "sockets", "hostPath": {"path": _SOCKETS_PATH, "type": "Directory"}}
    ]
    if shared:
        volumes.append({"name": "config", "configMap": {"name": DEVICE_PLUGIN}})
    pod: Manifest = {
        "serviceAccountName": DEVICE_PLUGIN,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Without it no GPU pod can start on the node.
        "priorityClassName": "system-node-critical",
        "nodeSelector": node_selector(gpus=True),
        "tolerations": gpu_tolerations(nodes),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(plugin, sharing)],
        "volumes": volumes,
    }
    if sharing.needs_mps_daemon:
        # The service's servers find their own process only by the host's IDs
        # (kubernetes-sigs/dra-driver-nvidia-gpu#115; the plugin's chart since 0.18).
        pod["hostPID"] = True
        pod["initContainers"] = _mps_daemon(plugin)
        volumes += [
            {"name": "mps-root", "hostPath": {"path": _MPS_ROOT, "type": "DirectoryOrCreate"}},
            {"name": "mps-shm", "hostPath": {"path": f"{_MPS_ROOT}/shm"}},
        ]
    return {
        "selector": {"matchLabels": selector(DEVICE_PLUGIN, DEVICE_PLUGIN)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": pod_template(
            labels(DEVICE_PLUGIN, "device-plugin", DEVICE_PLUGIN),
            pod,
            annotations=annotations,
            options=PodOptions(image_pull_secrets=plugin.image_pull_secrets),
        ),
    }


def _container(plugin: DevicePlugin, sharing: GpuSharing) -> Manifest:
    configured = bool(sharing.plugin_configuration)
    mounts: list[Manifest] = [{"name": "sockets", "mountPath": _SOCKETS_PATH}]
    if configured:
        mounts.append(_CONFIG_MOUNT)
    environment = [_CONFIG_VARIABLE]
    # Root, because kubelet's folder and socket are root's; without any of root's capabilities.
    security: Manifest = {**container_security(), "runAsUser": 0}
    if sharing.needs_sys_admin:
        environment.append({"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"})
        # The API server refuses this capability without privilege escalation.
        security["allowPrivilegeEscalation"] = True
        security["capabilities"] = {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    if sharing.needs_mps_daemon:
        environment.append({"name": "MPS_ROOT", "value": _MPS_ROOT})
        # By these the plugin asks whether the daemon is healthy.
        mounts += _MPS_MOUNTS
    return {
        "name": "device-plugin",
        "image": plugin.image,
        "imagePullPolicy": "IfNotPresent",
        "env": environment if configured else [],
        "resources": resources(cpu=plugin.cpu, memory_mib=plugin.memory_mib, storage_mib=64),
        "securityContext": security,
        "volumeMounts": mounts,
    }


def _mps_daemon(plugin: DevicePlugin) -> list[Manifest]:
    """Return the containers of the Multi-Process Service's control daemon, as the chart has them.

    The chart runs them in a DaemonSet of their own (`daemonset-mps-control-daemon.yml`). Here they
    start before the plugin, which would otherwise find no daemon and wait half a minute.
    """
    size = resources(cpu=plugin.cpu, memory_mib=plugin.memory_mib, storage_mib=64)
    common: Manifest = {
        "image": plugin.image,
        "imagePullPolicy": "IfNotPresent",
        # To mount the host's shared memory, and to make a GPU exclusive to the service.
        "securityContext": {"privileged": True},
    }
    mounted = {"name": "mps-root", "mountPath": _MPS_PATH, "mountPropagation": "Bidirectional"}
    return [
        {
            "name": "mps-shared-memory",
            **common,
            "command": ["mps-control-daemon", "mount-shm"],
            "resources": size,
            "volumeMounts": [mounted],
        },
        {
            "name": "mps-control-daemon",
            **common,
            # A sidecar: the plugin starts after it and ends before it.
            "restartPolicy": "Always",
            "command": ["mps-control-daemon"],
            "env": [_CONFIG_VARIABLE],
            "startupProbe": {
                "exec": {"command": ["sh", "-c", f"test -e {_MPS_PATH}/.ready"]},
                "periodSeconds": 1,
                "failureThreshold": 120,
            },
            # No limit of memory: an end of its servers ends the calls of all replicas of the node.
            "resources": {"requests": size["requests"]},
            "volumeMounts": [*_MPS_MOUNTS, _CONFIG_MOUNT],
        },
    ]
