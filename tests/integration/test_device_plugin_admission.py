"""A real API server admits the device plugin's pods of every sharing.

Not proved here: that kubelet and the driver run them. Nothing is created but the namespace.
"""

from typing import Any

import pytest
from lightkube import ApiError, Client
from lightkube.resources.core_v1 import Namespace, Pod, ServiceAccount

from components.gpus.device_plugin_workload import daemon_set_spec
from config.inventory import parts
from config.selectors import DEVICE_PLUGIN
from config.settings import Settings
from local_cluster.cluster import Cluster

SHARED: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "timeSlicing", "slices": 4},
    {"kind": "mig", "profile": "1g.10gb", "devices": 7},
    {"kind": "mps", "clients": 4},
]


def host_pid(client: Client, namespace: str, template: Any) -> bool:
    """Let the API server admit a pod, and return whether it shares the node's processes."""
    pod = {**template, "metadata": {**template["metadata"], "name": "plugin"}}
    admitted = client.create(Pod.from_dict(pod), namespace=namespace, dry_run=True)
    return bool(admitted.to_dict()["spec"].get("hostPID"))


def test_the_plugin_is_admitted_in_its_namespace(bare_cluster: Cluster):
    """And at no stricter level, whatever the sharing."""
    client = bare_cluster.client()
    # A namespace for each level: admission may read a level that was changed a moment ago.
    spaces = {level: f"plugin-{level}" for level in ("baseline", "privileged")}
    for level, space in spaces.items():
        labels = {"pod-security.kubernetes.io/enforce": level}
        client.create(Namespace.from_dict({"metadata": {"name": space, "labels": labels}}))
        account = {"metadata": {"name": DEVICE_PLUGIN}}
        client.create(ServiceAccount.from_dict(account), namespace=space)
    for sharing in SHARED:
        settings = Settings.model_validate({"gpuSharing": sharing})
        plugin, nodes = settings.device_plugin, settings.gpu_nodes.pool
        template = daemon_set_spec(plugin, nodes, settings.gpu_sharing)["template"]
        (part,) = [one for one in parts(settings) if one.key == "devicePlugin"]
        assert part.pod_security is not None
        with pytest.raises(ApiError, match="violates PodSecurity"):
            host_pid(client, spaces["baseline"], template)
        needed = settings.gpu_sharing.needs_mps_daemon
        assert host_pid(client, spaces[part.pod_security], template) == needed
    for space in spaces.values():
        client.delete(Namespace, space)
