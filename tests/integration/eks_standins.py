"""Stand-ins for the controllers of an EKS cluster, on the simulated cluster.

They answer in place of EKS's node groups (the nodes that join), the EBS CSI driver (a volume for
each claim) and the AWS Load Balancer Controller (a host name). They prove nothing about those.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import CSIPersistentVolumeSource as CsiVolume
from lightkube.models.core_v1 import ObjectReference, PersistentVolumeSpec
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

_ZONE = "eu-central-1a"
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
        _join_nodes(client, world, size)
        _provision_volumes(client)
        _name_balancers(client)

    try:
        with looking(look):
            yield
    finally:
        for node in client.list(Node, labels={"eks.amazonaws.com/nodegroup": None}):
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


def _join_nodes(client: Client, world: World, size: Resources) -> None:
    known = {_name(node.metadata) for node in client.list(Node)}
    wanted = {
        f"{name}-{index}": group
        for name, group in world.groups.items()
        for index in range(group["scalingConfig"]["desiredSize"])
    }
    for name in wanted.keys() - known:
        client.create(Node.from_dict(_node(name, wanted[name], size)))


def _node(name: str, group: Properties, size: Resources) -> dict[str, object]:
    taints = [
        Taint(key=taint["key"], value=taint.get("value", ""), effect=_EFFECTS[taint["effect"]])
        for taint in group["taints"]
    ]
    labels = {**group["labels"], "eks.amazonaws.com/nodegroup": group["nodeGroupName"]}
    (node,) = simulated.nodes(
        [
            SimulatedNode(
                name=name, capacity=size, labels=labels, taints=taints, zone="eu-central-1a"
            )
        ]
    )
    return node


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
