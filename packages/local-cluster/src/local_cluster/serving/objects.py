"""Objects that a serving cluster adds: CoreDNS, KEDA, and the node's GPUs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from lightkube import codecs
from lightkube.resources.apiregistration_v1 import APIService
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Node, NodeStatus

from local_cluster.objects import holds, wait_for, wait_for_nodes
from local_cluster.serving import dns, images, layout
from local_cluster.spec import GPU_RESOURCE

Client = Any
Report = Callable[[str], None]

_KEDA_KINDS = {
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "Deployment",
    "Namespace",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
}
"""Kinds of KEDA's objects that it needs to run."""

_DEPLOYMENTS = {
    "coredns": "kube-system",
    "keda-operator": "keda",
    "keda-metrics-apiserver": "keda",
}
_METRICS_API = "v1beta1.external.metrics.k8s.io"

_GPUS = "kubemind.io/gpus"
"""Annotation with the number of the node's GPUs, which a restarted kubelet forgets."""


def apply(client: Client, keda_manifests: Path, report: Report) -> None:
    """Apply CoreDNS and KEDA."""
    report("applying CoreDNS and KEDA")
    documents = [*keda(keda_manifests.read_text()), *dns.manifests()]
    # Create referenced objects first.
    order = ("Namespace", "ServiceAccount")
    documents.sort(key=lambda d: order.index(d["kind"]) if d["kind"] in order else len(order))
    for document in documents:
        client.apply(codecs.from_dict(document), force=True)


def keda(manifests: str) -> list[dict[str, Any]]:
    """Return KEDA's own manifests, with the local image and shorter probe delays.

    Args:
        manifests: YAML stream of the files of its kustomization.
    """
    found: list[dict[str, Any]] = []
    for document in filter(None, yaml.safe_load_all(manifests)):
        if document.get("kind") not in _KEDA_KINDS:
            continue
        if document["kind"] == "Deployment":
            for container in document["spec"]["template"]["spec"]["containers"]:
                container["image"] = images.KEDA.name
                container["imagePullPolicy"] = "IfNotPresent"
                container["resources"]["requests"] = {"cpu": "10m", "memory": "100Mi"}
                for probe in ("livenessProbe", "readinessProbe"):
                    container[probe]["initialDelaySeconds"] = 1
                container["readinessProbe"]["periodSeconds"] = 2
                container["livenessProbe"]["failureThreshold"] = 12
        found.append(document)
    return found


def advertise_gpus(client: Client, gpus: int | None, report: Report) -> None:
    """Wait for the node, and make it advertise GPUs; None keeps the number of the last call.

    Raises:
        LocalClusterError: The node did not become ready in time.
    """
    node = {"metadata": {"name": layout.NODE_NAME}}
    wait_for(
        lambda: any(n.metadata.name == layout.NODE_NAME for n in client.list(Node)),
        "the node",
        report,
    )
    if gpus is None:
        annotations: dict[str, str] = client.get(Node, layout.NODE_NAME).metadata.annotations or {}
        given = annotations.get(_GPUS)
    else:
        given = str(gpus)
        client.patch(Node, layout.NODE_NAME, {"metadata": {"annotations": {_GPUS: given}}})
    if given:
        amount = {GPU_RESOURCE: given}
        status = {"capacity": amount, "allocatable": amount}
        client.patch(NodeStatus, layout.NODE_NAME, {"status": status})
    wait_for_nodes(client, [node], report)


def wait_for_workloads(client: Client, report: Report) -> None:
    """Wait until CoreDNS, KEDA and KEDA's metrics API are available.

    Raises:
        LocalClusterError: One of them did not become available in time.
    """
    for name, namespace in _DEPLOYMENTS.items():
        wait_for(
            lambda name=name, namespace=namespace: holds(
                client.get(Deployment, name, namespace=namespace), "Available"
            ),
            name,
            report,
        )
    wait_for(
        lambda: holds(client.get(APIService, _METRICS_API), "Available"),
        "KEDA's metrics API",
        report,
    )
