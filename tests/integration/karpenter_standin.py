"""A stand-in for Karpenter's controllers, on a cluster with Karpenter's real CRDs.

It reads NodePools and EC2NodeClasses as they are on the API server, starts nodes for pods that
request GPUs, and marks and removes its objects as Karpenter does. It proves nothing about AMIs,
roles, subnets, prices, consolidation or drift, and it knows the GPUs of one instance type alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_global_resource
from lightkube.resources.core_v1 import Node, Pod
from lightkube.types import PatchType

from config.sections.gpu_nodes import GPU_RESOURCE
from config.sections.karpenter import NODE_POOL_LABEL
from config.sizing.instances import INSTANCE_TYPE_LABEL
from local_cluster import simulated
from local_cluster.spec import Resources, SimulatedNode, Taint
from tests.integration.eks_standins import looking

FINALIZER = "karpenter.k8s.aws/termination"
"""Karpenter keeps an EC2NodeClass until its last node is gone (aws/karpenter-provider-aws,
`pkg/controllers/nodeclass/controller.go`)."""

_HASH = "karpenter.sh/nodepool-hash"

NodePool = create_global_resource("karpenter.sh", "v1", "NodePool", "nodepools")
NodeClass = create_global_resource("karpenter.k8s.aws", "v1", "EC2NodeClass", "ec2nodeclasses")


@contextmanager
def karpenter_standin(client: Client, size: Resources) -> Iterator[None]:
    """Run the stand-in while the block lasts; take its nodes and objects away after it.

    Args:
        client: Client of a simulated cluster that serves Karpenter's CRDs.
        size: Allocatable resources of each node.
    """

    def look() -> None:
        pools = {_name(pool): pool for pool in client.list(NodePool)}
        _drain(client, pools)
        _keep_classes(client, pools)
        for name, pool in pools.items():
            if _HASH not in (pool.metadata.annotations or {}):
                mark = {"metadata": {"annotations": {_HASH: "1", f"{_HASH}-version": "v3"}}}
                client.patch(NodePool, name, mark, patch_type=PatchType.MERGE)
        _launch(client, pools, size)

    try:
        with looking(look):
            yield
    finally:
        for pool in client.list(NodePool):
            client.delete(NodePool, _name(pool))
        _drain(client, {})
        for node_class in client.list(NodeClass):
            _set_finalizers(client, _name(node_class), [])
            _delete(client, NodeClass, _name(node_class))


def nodes_of(client: Client, pool: str) -> list[Any]:
    """Return the nodes of a NodePool."""
    return list(client.list(Node, labels={NODE_POOL_LABEL: pool}))


def _name(item: Any) -> str:
    return item.metadata.name


def _delete(client: Client, kind: Any, name: str) -> None:
    try:
        client.delete(kind, name)
    except ApiError as error:
        if error.status.code != 404:
            raise


def _drain(client: Client, pools: dict[str, Any]) -> None:
    """Remove the nodes of NodePools that are gone."""
    for node in client.list(Node, labels={NODE_POOL_LABEL: None}):
        if node.metadata.labels[NODE_POOL_LABEL] not in pools:
            _delete(client, Node, _name(node))


def _keep_classes(client: Client, pools: dict[str, Any]) -> None:
    """Hold each EC2NodeClass by the finalizer until no NodePool and no node needs it."""
    used = {pool.spec["template"]["spec"]["nodeClassRef"]["name"] for pool in pools.values()}
    for node_class in client.list(NodeClass):
        name = _name(node_class)
        if not node_class.metadata.deletionTimestamp:
            if FINALIZER not in (node_class.metadata.finalizers or []):
                _set_finalizers(client, name, [FINALIZER])
        elif name not in used:
            _set_finalizers(client, name, [])


def _set_finalizers(client: Client, name: str, finalizers: list[str]) -> None:
    changed = {"metadata": {"finalizers": finalizers}}
    client.patch(NodeClass, name, changed, patch_type=PatchType.MERGE)


def _launch(client: Client, pools: dict[str, Any], size: Resources) -> None:
    """Start nodes until all pods that request GPUs have room, within the pools' limits."""
    pods = [pod for pod in client.list(Pod, namespace="*") if not pod.metadata.deletionTimestamp]
    nodes = {_name(node) for node in client.list(Node, labels={NODE_POOL_LABEL: None})}
    taken = sum(_gpus(pod) for pod in pods if pod.spec.nodeName in nodes)
    waiting = sum(_gpus(pod) for pod in pods if not pod.spec.nodeName)
    free = len(nodes) * size.gpus - taken
    # The heaviest first, as Karpenter prefers it.
    for name, pool in sorted(pools.items(), key=lambda item: -item[1].spec.get("weight", 0)):
        room = int(pool.spec["limits"]["nodes"]) - len(nodes_of(client, name))
        for _ in range(room):
            if waiting <= free:
                return
            client.create(Node.from_dict(_node(f"{name}-{len(nodes)}", pool, size)))
            nodes.add(f"{name}-{len(nodes)}")
            free += size.gpus


def _gpus(pod: Any) -> int:
    wanted = ((c.resources and c.resources.requests) or {} for c in pod.spec.containers)
    return sum(int(requests.get(GPU_RESOURCE, 0)) for requests in wanted)


def _node(name: str, pool: Any, size: Resources) -> dict[str, Any]:
    """A node as its NodePool states it: labels, one value of each requirement, and taints."""
    template = pool.spec["template"]
    labels = {
        **{one["key"]: one["values"][0] for one in template["spec"]["requirements"]},
        **template["metadata"]["labels"],
        NODE_POOL_LABEL: _name(pool),
        "karpenter.sh/registered": "true",
    }
    assert INSTANCE_TYPE_LABEL in labels
    taints = [
        Taint(key=taint["key"], value=taint.get("value", ""), effect=taint["effect"])
        for taint in template["spec"]["taints"]
    ]
    wanted = SimulatedNode(
        name=name, capacity=size, labels=labels, taints=taints, zone="eu-central-1a"
    )
    (node,) = simulated.nodes([wanted])
    return node
