"""Stand-ins for the controllers of an EKS cluster, on the simulated cluster.

They answer in place of EKS's node groups (nodes that join, change and end), the EBS CSI driver (a
volume for each claim) and the AWS Load Balancer Controller (a host name). They prove nothing about
those. The platform team's own nodes join with them.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import httpx2
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import CSIPersistentVolumeSource as CsiVolume
from lightkube.models.core_v1 import ObjectReference, PersistentVolumeSpec
from lightkube.models.core_v1 import Taint as NodeTaint
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import (
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Service,
    ServiceStatus,
)

from components.gpus.node_group import EKS_TAINT_EFFECTS
from local_cluster import simulated
from local_cluster.spec import Resources, SimulatedNode, Taint
from tests.standin_aws.world import Properties, World

PROVISIONER = "ebs.csi.aws.com"
BALANCER = "internal-stand-in.elb.eu-central-1.amazonaws.com"
"""Host name that the stand-in gives to every load balancer."""

EDGE = "edge"
"""Value of the label and of the taint `pool` of the platform team's nodes for gateways."""

_ZONES = ("eu-central-1a", "eu-central-1b")
_GROUP = "eks.amazonaws.com/nodegroup"
_KUBERNETES = "node.kubernetes.io/"
"""Beginning of the taints that Kubernetes sets, such as that of `kubectl cordon`."""

_LOOK_SECONDS = 0.5
_EFFECTS = {theirs: ours for ours, theirs in EKS_TAINT_EFFECTS.items()}


@contextmanager
def eks_standins(client: Client, world: World, size: Resources) -> Iterator[None]:
    """Run the stand-ins while the block lasts; take their nodes away after it.

    Args:
        client: Client of the simulated cluster.
        world: World of the stand-in for AWS.
        size: Allocatable resources of each node of a node group.
    """

    def look() -> None:
        _follow_groups(client, world, size)
        _provision_volumes(client)
        _name_balancers(client)

    edge = _edge_nodes()
    for node in edge:
        client.create(node)
    try:
        with looking(look):
            yield
    finally:
        for node in (*edge, *client.list(Node, labels={_GROUP: None})):
            client.delete(Node, _name(node.metadata))


@contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Look again and again while the block lasts.

    As controllers do, it looks again if the API server refused a request or did not answer.

    Args:
        look: Reads the cluster's state and answers it.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(_LOOK_SECONDS):
            try:
                look()
            except (ApiError, httpx2.HTTPError) as error:
                print(f"the stand-ins look again: {error}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _name(metadata: ObjectMeta | None) -> str:
    assert metadata
    assert metadata.name
    return metadata.name


def _edge_nodes() -> list[Node]:
    """Two nodes, each in a zone of its own."""
    taint = Taint(key="pool", value=EDGE, effect="NoSchedule")
    size = Resources(cpu=4, memory_gib=16, disk_gib=100, gpus=0)
    wanted = [
        SimulatedNode(
            name=f"{EDGE}-{zone}", capacity=size, labels={"pool": EDGE}, taints=[taint], zone=zone
        )
        for zone in _ZONES
    ]
    return _joining(wanted)


def _follow_groups(client: Client, world: World, size: Resources) -> None:
    """Make the nodes those of the groups, with the groups' labels and taints.

    "The Kubernetes taints to be applied to the nodes in the node group after the update" (EKS API
    reference, UpdateNodegroupConfig; of labels, likewise).
    """
    known = {_name(node.metadata): node for node in client.list(Node, labels={_GROUP: None})}
    wanted = {
        f"{name}-{index}": _node(f"{name}-{index}", group, size)
        for name, group in world.groups.items()
        for index in range(group["scalingConfig"]["desiredSize"])
    }
    for name in wanted.keys() - known.keys():
        client.create(wanted[name])
    for name in known.keys() - wanted.keys():
        client.delete(Node, name)
    for name in known.keys() & wanted.keys():
        _apply(client, known[name], wanted[name])


def _apply(client: Client, node: Node, group: Node) -> None:
    """Give a node the labels and taints of its group, and leave those of Kubernetes."""
    assert node.metadata
    assert node.spec
    assert group.metadata
    assert group.spec
    theirs = [one for one in node.spec.taints or () if one.key.startswith(_KUBERNETES)]
    labels = {**(node.metadata.labels or {}), **(group.metadata.labels or {})}
    taints = [*(group.spec.taints or ()), *theirs]
    if (labels, _by_key(taints)) != (node.metadata.labels, _by_key(node.spec.taints or ())):
        node.metadata.labels, node.spec.taints = labels, taints
        client.replace(node)


def _by_key(taints: Iterable[NodeTaint]) -> dict[tuple[str, str], str | None]:
    return {(taint.key, taint.effect): taint.value for taint in taints}


def _node(name: str, group: Properties, size: Resources) -> Node:
    taints = [
        Taint(key=taint["key"], value=taint.get("value", ""), effect=_EFFECTS[taint["effect"]])
        for taint in group["taints"]
    ]
    labels = {**group["labels"], _GROUP: group["nodeGroupName"]}
    wanted = SimulatedNode(name=name, capacity=size, labels=labels, taints=taints, zone=_ZONES[0])
    (node,) = _joining([wanted])
    return node


def _joining(wanted: Sequence[SimulatedNode]) -> list[Node]:
    made = [Node.from_dict(node) for node in simulated.nodes(wanted)]
    return [node for node in made if isinstance(node, Node)]


def _provision_volumes(client: Client) -> None:
    for claim in client.list(PersistentVolumeClaim, namespace="*"):
        assert claim.metadata
        assert claim.spec
        assert claim.spec.resources
        if not claim.status or claim.status.phase != "Pending":
            continue
        volume = PersistentVolume(
            metadata=ObjectMeta(name=f"pv-{claim.metadata.uid}"),
            spec=PersistentVolumeSpec(
                capacity=claim.spec.resources.requests,
                accessModes=claim.spec.accessModes,
                storageClassName=claim.spec.storageClassName,
                claimRef=ObjectReference(
                    namespace=claim.metadata.namespace, name=claim.metadata.name
                ),
                csi=CsiVolume(driver=PROVISIONER, volumeHandle=f"vol-{claim.metadata.uid}"),
            ),
        )
        try:
            client.create(volume)
        except ApiError as error:
            if error.status.reason != "AlreadyExists":
                raise


def _name_balancers(client: Client) -> None:
    for service in client.list(Service, namespace="*"):
        assert service.metadata
        assert service.spec
        assert service.status
        balancer = service.status.loadBalancer
        if service.spec.type == "LoadBalancer" and not (balancer and balancer.ingress):
            client.patch(
                ServiceStatus,
                _name(service.metadata),
                {"status": {"loadBalancer": {"ingress": [{"hostname": BALANCER}]}}},
                namespace=service.metadata.namespace,
            )
