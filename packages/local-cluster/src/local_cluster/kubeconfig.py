"""Kubeconfig of the cluster, for users and programs."""

import base64
from collections.abc import Mapping

import yaml

from local_cluster.paths import CONTEXT, Paths
from local_cluster.ports import api_address
from local_cluster.record import write_atomically


def write(paths: Paths, ports: Mapping[str, int]) -> None:
    """Write a cluster's kubeconfig with embedded certificates; keep an unchanged file."""

    def data(name: str) -> str:
        return base64.b64encode((paths.pki / name).read_bytes()).decode()

    cluster = {"server": api_address(ports), "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}
    text = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": CONTEXT, "user": user}],
            "contexts": [
                {
                    "name": CONTEXT,
                    "context": {"cluster": CONTEXT, "user": CONTEXT},
                }
            ],
            "current-context": CONTEXT,
        },
        sort_keys=False,
    )
    if not paths.kubeconfig.exists() or paths.kubeconfig.read_text() != text:
        write_atomically(paths.kubeconfig, text)
