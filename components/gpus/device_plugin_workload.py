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
_SOCKETS_PATH = "/var/lib/kubelet/device-plugins"
"""Folder of the sockets on which kubelet serves device plugins."""


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
    return {
        "selector": {"matchLabels": selector(DEVICE_PLUGIN, DEVICE_PLUGIN)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": pod_template(
            labels(DEVICE_PLUGIN, "device-plugin", DEVICE_PLUGIN),
            {
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
            },
            annotations=annotations,
            options=PodOptions(image_pull_secrets=plugin.image_pull_secrets),
        ),
    }


def _container(plugin: DevicePlugin, sharing: GpuSharing) -> Manifest:
    configured = bool(sharing.plugin_configuration)
    mounts: list[Manifest] = [{"name": "sockets", "mountPath": _SOCKETS_PATH}]
    if configured:
        mounts.append({"name": "config", "mountPath": _CONFIG_PATH, "readOnly": True})
    environment = [{"name": "CONFIG_FILE", "value": f"{_CONFIG_PATH}/{CONFIG_FILE}"}]
    # Root, because kubelet's folder and socket are root's; without any of root's capabilities.
    security: Manifest = {**container_security(), "runAsUser": 0}
    if sharing.needs_sys_admin:
        environment.append({"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"})
        # The API server refuses this capability without privilege escalation.
        security["allowPrivilegeEscalation"] = True
        security["capabilities"] = {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    return {
        "name": "device-plugin",
        "image": plugin.image,
        "imagePullPolicy": "IfNotPresent",
        "env": environment if configured else [],
        "resources": resources(cpu=plugin.cpu, memory_mib=plugin.memory_mib, storage_mib=64),
        "securityContext": security,
        "volumeMounts": mounts,
    }
