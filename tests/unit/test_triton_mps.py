"""Declared replicas that share GPUs by MPS; no GPU and no service is here to serve them."""

import subprocess

from tests.unit.declared_triton import made, pod_of

MPS = {"kind": "mps", "clients": 4}


def test_clients_of_mps_use_the_shared_memory_that_the_device_plugin_mounts():
    """A volume of the pod would hide it. Not shown: kubelet's order of mounts."""
    pod = made({"triton": {"gpus": 1}}, gpuSharing=MPS)[0]["template"]["spec"]
    assert "shm" not in {volume["name"] for volume in pod["volumes"]}
    (container,) = pod["containers"]
    assert "/dev/shm" not in {mount["mountPath"] for mount in container["volumeMounts"]}
    prefix = "--backend-config=python,shm-region-prefix-name=$(POD_UID)_"
    assert prefix in container["args"]


def test_a_client_of_mps_empties_its_own_shared_memory_alone(tmp_path):
    """By the machine's bash; kubelet puts the pod's UID into the arguments."""
    spec, _ = made({"triton": {"gpus": 1}}, gpuSharing=MPS)
    (container,) = spec["template"]["spec"]["containers"]
    own, other, server = "0a-1_1", "0b-1_1", "cuda.shm.3e8.1.1"
    for name in (own, other, server):
        (tmp_path / name).touch()
    script = container["args"][2].replace("/dev/shm", str(tmp_path)).replace("$(POD_UID)", "0a-1")
    subprocess.run(["bash", "-ec", script, "start", "true"], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {other, server}


def test_a_replica_without_gpus_is_no_client_of_mps():
    pod = made({"triton": {"gpus": 0}}, gpuSharing=MPS)[0]["template"]["spec"]
    assert pod == pod_of(gpus=0)
