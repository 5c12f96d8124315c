"""Objects that every cluster holds: its nodes and KEDA's resource definitions."""

import hashlib
import http
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from lightkube.core.exceptions import ApiError
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Namespace, Node, NodeStatus, Pod

from local_cluster.errors import LocalClusterError

Client = Any
"""A `lightkube.Client`, whose types a strict checker cannot follow."""

READY_SECONDS = 120.0
"""Time limit for nodes and definitions to become ready; they take less than a second."""

Report = Callable[[str], None]

_REPORT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_OURS = {"app.kubernetes.io/managed-by": "kubemind-local"}
"""Label of the nodes that follow the specification; other nodes stay as they are."""


_LEASE_NAMESPACE = "kube-node-lease"

_NOT_READY = "node.kubernetes.io/not-ready"

_CONTENT = "kubemind.io/content"
"""Label of definitions, with the digest of their applied content."""


def cluster_id(client: Client, report: Report) -> str:
    """Return the UID of the namespace `kube-system`, which identifies the cluster."""
    # The API server creates it a moment after it first reports that it is ready.
    wait_for(lambda: exists(client, Namespace, "kube-system"), "its first namespace", report)
    return client.get(Namespace, "kube-system").metadata.uid


def release_nodes(client: Client) -> None:
    """Delete the nodes' leases. Their holder is gone after a restart, and would delay the nodes."""
    for lease in client.list(Lease, namespace=_LEASE_NAMESPACE):
        with suppress(ApiError):
            client.delete(Lease, lease.metadata.name, namespace=_LEASE_NAMESPACE)


def fill(
    client: Client, nodes: Sequence[Mapping[str, Any]] | None, definitions: Path, report: Report
) -> None:
    """Apply nodes and definitions, and wait for the nodes.

    Args:
        client: Client of the cluster.
        nodes: Nodes that the cluster is to have; None keeps its nodes as they are.
        definitions: File of KEDA's resource definitions.
        report: Called with each change.

    Raises:
        LocalClusterError: A node or a definition did not become ready in time.
    """
    made, removed = ([], []) if nodes is None else apply_nodes(client, nodes)
    if made:
        report(f"made the nodes {', '.join(made)}")
    if removed:
        report(f"removed the nodes {', '.join(removed)}")
    if applied := apply_definitions(client, definitions, report):
        report(f"applied {len(applied)} of KEDA's resource definitions")
    wait_for_nodes(client, nodes or [], report)


def apply_nodes(client: Client, wanted: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Create, update and delete nodes until the labelled nodes are the wanted ones.

    A deleted node takes its pods with it, as a lost node does.

    Returns:
        Names of the created and of the deleted nodes.
    """
    before = {node.metadata.name for node in client.list(Node, labels=_OURS)}
    names = [str(node["metadata"]["name"]) for node in wanted]
    for node in wanted:
        metadata = node["metadata"]
        labelled = {**metadata, "labels": {**metadata.get("labels", {}), **_OURS}}
        # Creation keeps the status, so a node never exists without its capacity. Only the second
        # call changes the status of an existing node.
        _apply(client, Node, {**node, "metadata": labelled})
        status = {"metadata": {"name": metadata["name"]}, "status": node["status"]}
        _apply(client, NodeStatus, status)
    surplus = sorted(before - set(names))
    for name in surplus:
        client.delete(Node, name)
        for pod in client.list(Pod, namespace="*", fields={"spec.nodeName": name}):
            where = pod.metadata
            client.delete(Pod, where.name, namespace=where.namespace, grace_period=0)
    return [name for name in names if name not in before], surplus


def wait_for_nodes(client: Client, wanted: Sequence[Mapping[str, Any]], report: Report) -> None:
    """Wait until every wanted node accepts pods.

    Raises:
        LocalClusterError: A node did not become ready in time.
    """
    names = {node["metadata"]["name"] for node in wanted}
    wait_for(
        lambda: names <= {n.metadata.name for n in client.list(Node) if _takes_pods(n)},
        "the nodes",
        report,
    )


def apply_definitions(client: Client, file: Path, report: Report) -> list[str]:
    """Apply custom resource definitions that are missing or differ; return their names.

    Raises:
        LocalClusterError: The API server did not establish a definition in time.
    """
    text = file.read_text()
    content = hashlib.sha256(text.encode()).hexdigest()[:16]
    # Applying all of them would take longer than the rest of a second start.
    there = {
        definition.metadata.name
        for definition in client.list(CustomResourceDefinition, labels={_CONTENT: content})
    }
    applied: list[str] = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in filter(None, yaml.load_all(text, Loader=loader)):
        name = document["metadata"]["name"]
        if name not in there:
            document["metadata"].setdefault("labels", {})[_CONTENT] = content
            _apply(client, CustomResourceDefinition, document)
            applied.append(name)
    for name in applied:
        wait_for(lambda name=name: _is_established(client, name), f"the definition {name}", report)
    return applied


def _apply(client: Client, resource: Any, document: Mapping[str, Any]) -> None:
    client.apply(resource.from_dict(document), force=True)


def exists(client: Client, resource: Any, name: str) -> bool:
    """Return True if the cluster has an object of this name."""
    try:
        client.get(resource, name)
    except ApiError as error:
        if error.status.code != http.HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def _is_established(client: Client, name: str) -> bool:
    return holds(client.get(CustomResourceDefinition, name), "Established")


def _takes_pods(node: Any) -> bool:
    # A new node has the taint until the controller manager has noticed that it is ready.
    taints: list[Any] = node.spec.taints or []
    return holds(node, "Ready") and _NOT_READY not in [taint.key for taint in taints]


def holds(resource: Any, condition: str) -> bool:
    """Tell whether a condition in an object's status is true."""
    held: list[Any] = (resource.status and resource.status.conditions) or []
    return any(c.type == condition and c.status == "True" for c in held)


def wait_for(condition: Callable[[], bool], what: str, report: Report) -> None:
    """Wait until a condition holds.

    Args:
        condition: Function that returns true once the wait is over.
        what: Name of the awaited object, for messages.
        report: Called with a line of progress every 10 s.

    Raises:
        LocalClusterError: The condition did not hold in time.
    """
    began = reported = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now - began > READY_SECONDS:
            raise LocalClusterError(
                f"{what} of the local cluster did not become ready within {READY_SECONDS:.0f} s"
            )
        if now - reported > _REPORT_SECONDS:
            reported = now
            report(f"waiting for {what} ({now - began:.0f} s)")
        time.sleep(_LOOK_SECONDS)
