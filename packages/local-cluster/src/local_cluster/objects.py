"""What the cluster holds before any stack: its nodes, and KEDA's resource definitions."""

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
"""A `lightkube.Client`, whose own types a strict checker cannot follow."""

READY_SECONDS = 120.0
"""Longest that nodes and definitions may take to become ready; they take less than a second."""

Report = Callable[[str], None]

_REPORT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_OURS = {"app.kubernetes.io/managed-by": "kubemind-local"}
"""Label of the nodes that follow the parameters; others are left alone."""


_LEASE_NAMESPACE = "kube-node-lease"

_NOT_READY = "node.kubernetes.io/not-ready"

_CONTENT = "kubemind.io/content"
"""Label of definitions with the digest of what was applied."""


def cluster_id(client: Client, report: Report) -> str:
    """UID of the `kube-system` namespace, which stands for the cluster's identity."""
    # The API server makes it itself, a moment after it first says that it is ready.
    wait_for(lambda: _exists(client, Namespace, "kube-system"), "its first namespace", report)
    return client.get(Namespace, "kube-system").metadata.uid


def release_nodes(client: Client) -> None:
    """Delete the nodes' leases, whose holder is gone after a restart, so that they run at once."""
    for lease in client.list(Lease, namespace=_LEASE_NAMESPACE):
        with suppress(ApiError):
            client.delete(Lease, lease.metadata.name, namespace=_LEASE_NAMESPACE)


def fill(
    client: Client, nodes: Sequence[Mapping[str, Any]] | None, definitions: Path, report: Report
) -> None:
    """Bring nodes and definitions in line with what is wanted, and wait for the nodes.

    Args:
        client: of the cluster.
        nodes: those that are wanted; None leaves what there is alone.
        definitions: file of KEDA's resource definitions.
        report: told what changed.

    Raises:
        LocalClusterError: something did not become ready in time.
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
    """Make, change and remove nodes until those that were made here are the wanted ones.

    A removed node takes its pods with it, as a node that is lost does.

    Returns:
        Names of the nodes that were made, and of those that were removed.
    """
    before = {node.metadata.name for node in client.list(Node, labels=_OURS)}
    names = [str(node["metadata"]["name"]) for node in wanted]
    for node in wanted:
        metadata = node["metadata"]
        labelled = {**metadata, "labels": {**metadata.get("labels", {}), **_OURS}}
        # The status is kept when this makes the node, so it is never there without its capacity;
        # of a node that is there only the second call changes it.
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
    """Wait until every wanted node takes pods.

    Raises:
        LocalClusterError: not in time.
    """
    names = {node["metadata"]["name"] for node in wanted}
    wait_for(
        lambda: names <= {n.metadata.name for n in client.list(Node) if _takes_pods(n)},
        "the nodes",
        report,
    )


def apply_definitions(client: Client, file: Path, report: Report) -> list[str]:
    """Apply custom resource definitions that are missing or differ; names of those that did.

    Raises:
        LocalClusterError: the API server did not take them into use in time.
    """
    text = file.read_text()
    content = hashlib.sha256(text.encode()).hexdigest()[:16]
    # Applying them all takes longer than everything else that a second start does.
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


def _exists(client: Client, resource: Any, name: str) -> bool:
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
    # A new node carries the taint until the controller manager has seen that it is ready.
    taints: list[Any] = node.spec.taints or []
    return holds(node, "Ready") and _NOT_READY not in [taint.key for taint in taints]


def holds(thing: Any, condition: str) -> bool:
    """Whether a condition in an object's status is true."""
    held: list[Any] = (thing.status and thing.status.conditions) or []
    return any(c.type == condition and c.status == "True" for c in held)


def wait_for(condition: Callable[[], bool], what: str, report: Report) -> None:
    """Wait until a condition holds; `what` is waited for, in words.

    Raises:
        LocalClusterError: not in time.
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
