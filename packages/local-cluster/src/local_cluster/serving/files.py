"""Configuration files of the node's processes, as text."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local_cluster.serving import layout
from local_cluster.serving.images import PAUSE
from local_cluster.serving.layout import HOME, NodePaths

MAX_PODS = 110
"""Kubernetes' default."""

SYSCTLS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""Kernel settings that kubelet requires, and sets if they differ (`setupKernelTunables`)."""

_INSIDE = NodePaths(HOME)


def containerd(runc: Path, plugins: Path) -> str:
    """Return containerd's configuration (version 2, TOML).

    Args:
        runc: Path of runc.
        plugins: Folder of the CNI plugins.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{_INSIDE.containerd}"
state = "{layout.CONTAINERD_SOCKET.parent}"

[grpc]
address = "{layout.CONTAINERD_SOCKET}"

# By default containerd creates a folder in the machine's /opt.
[plugins."io.containerd.internal.v1.opt"]
path = "{_INSIDE.containerd}/opt"

[{cri}]
sandbox_image = "{PAUSE.name}"
# containerd would load its profile into the machine's kernel.
disable_apparmor = true
# Without CAP_SYS_RESOURCE runc cannot lower it, and fails.
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true

[{cri}.containerd]
snapshotter = "overlayfs"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false

[{cri}.cni]
bin_dir = "{plugins}"
conf_dir = "{_INSIDE.cni}"
"""


def cni() -> str:
    """Return the configuration of the pod network: an interface pair for each pod, and routes.

    A bridge would not do: its traffic reaches Services only with the kernel module br_netfilter.
    """
    return json.dumps(
        {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": layout.POD_NETWORK}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        # In the node's own /run, so that addresses are released with the node.
                        "dataDir": "/run/cni",
                    },
                }
            ],
        }
    )


def kubelet(cgroup: str, client_ca: Path) -> str:
    """Return kubelet's configuration.

    Args:
        cgroup: Parent of the pods' cgroups.
        client_ca: Certificate authority of kubelet's clients.
    """
    nothing = dict.fromkeys(
        ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
    )
    configuration: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(client_ca)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "clusterDNS": [layout.DNS_SERVICE],
        "clusterDomain": layout.CLUSTER_DOMAIN,
        "containerLogMaxFiles": 2,
        "containerLogMaxSize": "2Mi",
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
        "enforceNodeAllocatable": [],
        # A machine with cgroups version 1, or with swap, is good enough here.
        "failCgroupV1": False,
        "failSwapOn": False,
        # A laptop's disk is often fuller than kubelet allows, and no registry has the images.
        "evictionHard": nothing,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": MAX_PODS,
        "readOnlyPort": 0,
        "resolvConf": str(_INSIDE.resolv_conf),
        # KEDA waits one period until kubelet has mounted the certificates that it creates.
        "syncFrequency": "5s",
        "volumePluginDir": str(_INSIDE.kubelet / "volume-plugins"),
    }
    return yaml.safe_dump(configuration)


def kubeconfig(port: int, pki: Path) -> str:
    """Return the kubeconfig of the node; the API server is in the same network namespace."""

    def data(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": data("ca.crt"),
    }
    user = {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "local", "user": user}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
            "current-context": "local",
        }
    )


def first_process(
    outside: NodePaths,
    programs: Path,
    debian: Path,
    cgroup_procs: list[Path],
    node_labels: Mapping[str, str],
) -> str:
    """Return the plan of `local_cluster.serving.init`.

    Args:
        outside: Folder of the node as the machine sees it.
        programs: Folder with links to containerd, kubelet and kube-proxy.
        debian: Folder with the unpacked packages of the node.
        cgroup_procs: Files through which the node's processes enter cgroups of their own.
        node_labels: Labels of the node, beside its zone.
    """
    path = f"{debian}/usr/bin:{debian}/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    environment = {"PATH": f"{path}:/sbin:/bin", "HOME": "/run"}
    libraries = {"LD_LIBRARY_PATH": f"{next(debian.glob('usr/lib/*-linux-gnu'))}"}

    def service(name: str, *arguments: str, **further: str) -> Mapping[str, object]:
        return {
            "command": [str(programs / name), *arguments],
            "environment": {**environment, **further},
        }

    identity = (f"--kubeconfig={_INSIDE.kubeconfig}", f"--hostname-override={layout.NODE_NAME}")
    labels = {**node_labels, "topology.kubernetes.io/zone": "local-a"}
    return json.dumps(
        {
            "home": str(HOME),
            "node": str(outside.root),
            "var_log": str(outside.var_log),
            "logs": str(_INSIDE.logs),
            "ready": str(_INSIDE.ready),
            "join": str(_INSIDE.join),
            "address": f"{layout.NODE_ADDRESS}/{layout.NODE_NETWORK.rpartition('/')[2]}",
            "gateway": layout.NODE_GATEWAY,
            "sysctls": SYSCTLS,
            "cgroups": [str(file) for file in cgroup_procs],
            "services": {
                "containerd": service("containerd", f"--config={_INSIDE.containerd_config}"),
                "kubelet": service(
                    "kubelet",
                    f"--config={_INSIDE.kubelet_config}",
                    f"--root-dir={_INSIDE.kubelet}",
                    f"--node-ip={layout.NODE_ADDRESS}",
                    f"--node-labels={','.join(f'{k}={v}' for k, v in labels.items())}",
                    *identity,
                ),
                "kube-proxy": service(
                    "kube-proxy",
                    "--proxy-mode=nftables",
                    f"--cluster-cidr={layout.POD_NETWORK}",
                    # 0: keep the kernel's value, which a namespace may not set.
                    "--conntrack-max-per-core=0",
                    "--conntrack-tcp-timeout-established=0",
                    "--conntrack-tcp-timeout-close-wait=0",
                    *identity,
                    # Libraries of nft; the others are the machine's.
                    **libraries,
                ),
            },
        },
        indent=1,
    )
