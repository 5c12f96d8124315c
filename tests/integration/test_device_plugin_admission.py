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


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


def host_pid(client: Client, namespace: str, level: str, template: Any) -> bool:
    """Let the API server admit a pod at a level of pod security, and return what it made of it."""
    labels = {"pod-security.kubernetes.io/enforce": level}
    client.patch(Namespace, namespace, {"metadata": {"labels": labels}})
    pod = {**template, "metadata": {**template["metadata"], "name": "plugin"}}
    admitted = client.create(Pod.from_dict(pod), namespace=namespace, dry_run=True)
    return bool(admitted.to_dict()["spec"].get("hostPID"))


def test_the_plugin_is_admitted_in_its_namespace(client: Client, namespace: str):
    """And at no stricter level, whatever the sharing."""
    account = {"metadata": {"name": DEVICE_PLUGIN}}
    client.create(ServiceAccount.from_dict(account), namespace=namespace)
    for sharing in SHARED:
        settings = Settings.model_validate({"gpuSharing": sharing})
        plugin, nodes = settings.device_plugin, settings.gpu_nodes.pool
        template = daemon_set_spec(plugin, nodes, settings.gpu_sharing)["template"]
        (part,) = [one for one in parts(settings) if one.key == "devicePlugin"]
        assert part.pod_security is not None
        with pytest.raises(ApiError, match="violates PodSecurity"):
            host_pid(client, namespace, "baseline", template)
        needed = settings.gpu_sharing.needs_mps_daemon
        assert host_pid(client, namespace, part.pod_security, template) == needed
