"""Declared objects of the device plugin; no GPU, driver or kubelet is here to talk to it."""

from typing import Any

import pytest
import yaml

from components.common.pods import HASH_ANNOTATION
from components.gpus.device_plugin import DevicePlugin, DevicePluginArgs
from config.settings import Settings


@pytest.fixture
def made(declare):
    def of(raw: dict[str, Any] | None = None):
        settings = Settings.model_validate(raw or {})
        args = DevicePluginArgs(
            config=settings.device_plugin,
            nodes=settings.gpu_nodes.pool,
            sharing=settings.gpu_sharing,
        )
        declared = declare(lambda: DevicePlugin("device-plugin", args))
        return declared.one("apps/v1:DaemonSet")["spec"]["template"], declared

    return of


def test_runs_on_gpu_nodes_only_and_tolerates_their_taint_alone(made):
    taint = {"key": "gpu-only", "value": "yes", "effect": "NoExecute"}
    pod = made({"gpuNodes": {"kind": "existing", "taint": taint}})[0]["spec"]
    assert pod["nodeSelector"] == {
        "kubernetes.io/os": "linux",
        "nvidia.com/gpu.present": "true",
    }
    assert pod["tolerations"] == [{"operator": "Equal", **taint}]


def test_has_no_configuration_where_gpus_are_not_shared(made):
    template, declared = made()
    assert not declared.all("core/v1:ConfigMap")
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["sockets"]


def test_the_plugin_gets_time_slices_in_its_own_format(made):
    template, declared = made({"gpuSharing": {"kind": "timeSlicing", "slices": 4}})
    ((file, text),) = declared.one("core/v1:ConfigMap")["data"].items()
    assert yaml.safe_load(text) == {
        "version": "v1",
        "sharing": {
            "timeSlicing": {
                "failRequestsGreaterThanOne": True,
                "resources": [{"name": "nvidia.com/gpu", "replicas": 4}],
            }
        },
    }
    (container,) = template["spec"]["containers"]
    assert container["env"] == [{"name": "CONFIG_FILE", "value": f"/config/{file}"}]
    mount = {"name": "config", "mountPath": "/config", "readOnly": True}
    assert mount in container["volumeMounts"]


def test_the_plugin_advertises_mig_devices_by_their_profile_and_watches_them(made):
    mig = {"kind": "mig", "profile": "1g.10gb+me", "devices": 1}
    template, declared = made({"gpuSharing": mig})
    (text,) = declared.one("core/v1:ConfigMap")["data"].values()
    assert yaml.safe_load(text) == {"version": "v1", "flags": {"migStrategy": "mixed"}}
    (container,) = template["spec"]["containers"]
    assert {"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"} in container["env"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_ADMIN"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is True
    resource = Settings.model_validate({"gpuSharing": mig}).gpu_sharing.resource
    assert resource == "nvidia.com/mig-1g.10gb.me"


def test_a_change_of_time_slices_rolls_the_pods(made):
    four = made({"gpuSharing": {"kind": "timeSlicing", "slices": 4}})[0]["metadata"]["annotations"]
    two = made({"gpuSharing": {"kind": "timeSlicing", "slices": 2}})[0]["metadata"]["annotations"]
    assert four[HASH_ANNOTATION] != two[HASH_ANNOTATION]


def test_has_no_privilege_but_root_and_one_folder_of_the_host(made):
    template, declared = made()
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 0,
    }
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    hosts = [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    assert hosts == ["/var/lib/kubelet/device-plugins"]
    assert pod["automountServiceAccountToken"] is False
    assert declared.one("core/v1:ServiceAccount")["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


MPS = {"gpuSharing": {"kind": "mps", "clients": 4}}


def test_the_daemon_of_mps_starts_before_the_plugin_and_both_read_one_configuration(made):
    pod = made(MPS)[0]["spec"]
    mount, daemon = pod["initContainers"]
    (plugin,) = pod["containers"]
    assert mount["command"] == ["mps-control-daemon", "mount-shm"]
    assert "restartPolicy" not in mount
    assert daemon["command"] == ["mps-control-daemon"]
    assert daemon["restartPolicy"] == "Always"
    assert daemon["startupProbe"]["exec"]["command"] == ["sh", "-c", "test -e /mps/.ready"]
    assert {mount["image"], daemon["image"]} == {plugin["image"]}
    config = {"name": "config", "mountPath": "/config", "readOnly": True}
    assert all(config in one["volumeMounts"] for one in (daemon, plugin))
    file = {"name": "CONFIG_FILE", "value": "/config/config.yaml"}
    assert all(file in one["env"] for one in (daemon, plugin))


def test_the_plugin_gives_clients_of_mps_the_daemon_s_pipes_and_shared_memory(made):
    """As the plugin's Helm chart has them; not shown is a client that connects."""
    pod = made(MPS)[0]["spec"]
    mount, daemon = pod["initContainers"]
    (plugin,) = pod["containers"]
    hosts = {
        volume["name"]: volume["hostPath"]["path"]
        for volume in pod["volumes"]
        if "hostPath" in volume
    }
    assert hosts.pop("sockets") == "/var/lib/kubelet/device-plugins"
    assert hosts == {"mps-root": "/run/nvidia/mps", "mps-shm": "/run/nvidia/mps/shm"}
    assert {"name": "MPS_ROOT", "value": hosts["mps-root"]} in plugin["env"]
    (root,) = mount["volumeMounts"]
    assert (root["name"], root["mountPath"]) == ("mps-root", "/mps")
    assert root["mountPropagation"] == "Bidirectional"
    for one in (daemon, plugin):
        mounted = {at["name"]: at["mountPath"] for at in one["volumeMounts"]}
        assert (mounted["mps-root"], mounted["mps-shm"]) == ("/mps", "/dev/shm")


def test_only_the_daemon_of_mps_is_privileged(made):
    pod = made(MPS)[0]["spec"]
    assert all(one["securityContext"] == {"privileged": True} for one in pod["initContainers"])
    unshared = made()[0]["spec"]
    assert pod["containers"][0]["securityContext"] == unshared["containers"][0]["securityContext"]
    assert pod["hostPID"] is True
    assert not {"hostPID", "hostIPC", "initContainers"} & set(unshared)


def test_is_never_evicted_for_other_pods_and_takes_no_more_than_it_asks(made):
    pod = made()[0]["spec"]
    assert pod["priorityClassName"] == "system-node-critical"
    resources = pod["containers"][0]["resources"]
    assert resources["limits"].items() <= resources["requests"].items()
    assert {"memory", "ephemeral-storage"} == set(resources["limits"])


def test_its_size_is_stated(made):
    template, _ = made({"devicePlugin": {"cpu": 0.1, "memoryMib": 256}})
    (container,) = template["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "100m"
    assert container["resources"]["limits"]["memory"] == "256Mi"
