"""GPU nodes that Karpenter starts for pods: NodePools, each with an EC2NodeClass."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.base import DnsLabel, Section
from config.sections.aws_nodes import FIRST_GROUP, AwsNodes, AwsPools, SubnetId
from config.sections.gpu_nodes import GPU_RESOURCE, REMOVED_NODE_KEYS, GpuNodes
from config.sizing.instances import INSTANCE_TYPES

NODE_POOL_API = "karpenter.sh/v1"
NODE_CLASS_API = "karpenter.k8s.aws/v1"

DISCOVERY_TAG = "karpenter.sh/discovery"
"""Tag of subnets and security groups by which Karpenter's own documents select them."""

DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
"""Pod annotation that keeps Karpenter from disrupting a pod's node. A duration as its value ends
the protection so long after the pod's start (Karpenter 1.12; kubernetes-sigs/karpenter#2874)."""

CAPACITY_LABEL = "karpenter.sh/capacity-type"
NODE_POOL_LABEL = "karpenter.sh/nodepool"
ZONE_LABEL = "topology.kubernetes.io/zone"


class DisruptionBudget(Section):
    """A bound on the nodes that Karpenter disrupts at once by its own choice."""

    nodes: int = Field(default=1, ge=0, le=5000)
    """Nodes of the pool that Karpenter may disrupt at once; 0 forbids it."""

    reasons: tuple[Literal["Drifted", "Underutilized", "Empty"], ...] = ()
    """Reasons for a disruption that the budget bounds; unset, all."""

    schedule: (
        Annotated[
            str,
            Field(
                pattern=r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|\S+( \S+){4})$"
            ),
        ]
        | None
    ) = None
    """Times, as a cron expression in UTC, at which the budget becomes active; unset, it always is.
    Needs `durationMinutes`."""

    duration_minutes: Annotated[int, Field(ge=1, le=366 * 24 * 60)] | None = None
    """Time for which a scheduled budget stays active, minutes."""


class KarpenterPool(AwsNodes):
    """A NodePool with its EC2NodeClass: the program declares both, and Karpenter the nodes."""

    reserved_tags: ClassVar[tuple[str, ...]] = (
        *AwsNodes.reserved_tags,
        "eks:eks-cluster-name",
        "kubernetes.io/cluster",
        "karpenter.sh/",
        "karpenter.k8s.aws/",
    )
    tagging: ClassVar[str] = "the stack, AWS or Karpenter"

    name: Annotated[DnsLabel, Field(max_length=40)] = FIRST_GROUP
    """Name of the NodePool and of its EC2NodeClass, unique in the cluster. Another name is another
    pool."""

    retiring: bool = False
    """True for a pool that is to be removed: it counts in no capacity check and is not protected,
    and Karpenter starts no nodes of it. Karpenter moves its replicas to the other pools by itself,
    a node at a time."""

    ami_version: Annotated[str, Field(pattern=r"^(latest|v[0-9]+(\.[0-9]+)*)$", max_length=19)] = (
        "latest"
    )
    """Release of the AMI, such as `v20260709` (AL2023) or `v1.47.0` (Bottlerocket). Another release
    exchanges the nodes, as `latest` does by itself whenever AWS publishes one."""

    ami_ids: tuple[Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")], ...] = Field(
        default=(), max_length=30
    )
    """Own AMIs of the family of `amiType`, in place of the release `amiVersion`."""

    disk_gib: int = Field(default=200, ge=20, le=59_000)
    """Disk of each node, GiB, an encrypted gp3 volume; holds images and what replicas write, and
    counts in every capacity check. The CRD takes 59000 at most."""

    subnet_ids: tuple[SubnetId, ...] = Field(default=(), max_length=30)
    """Subnets of the pool; unset, those with the tag `karpenter.sh/discovery`."""

    zones: tuple[Annotated[str, Field(pattern=r"^[a-z]+(-[a-z0-9]+)+$", max_length=63)], ...] = ()
    """Zones of the nodes, such as `eu-central-1a`; unset, those of the subnets."""

    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Preference over pools with a lower weight, such as reserved capacity over on-demand."""

    instance_store_policy: Literal["RAID0"] | None = None
    """`RAID0` keeps images and pods' files on the instances' local disks, as one array. `diskGib`
    must then not exceed it."""

    disruption_budgets: tuple[DisruptionBudget, ...] = Field(
        default=(DisruptionBudget(),), min_length=1, max_length=50
    )
    """Bounds on the nodes that Karpenter disrupts at once; the strictest active one counts."""

    consolidation_policy: Literal["WhenEmpty", "Balanced", "WhenEmptyOrUnderutilized"] = (
        "WhenEmptyOrUnderutilized"
    )
    """Nodes that Karpenter removes to save costs; `Balanced` needs Karpenter 1.14."""

    consolidate_after_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Time without a new or an ended pod on a node after which it may be consolidated; unset, the
    longest time that a replica needs to load."""

    expire_after_hours: Annotated[int, Field(ge=1, le=8760)] | None = None
    """Lifetime of a node, after which Karpenter drains it without regard to budgets and before a
    successor is ready; unset, nodes live on until something else replaces them."""

    termination_grace_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] | None = None
    """Longest drain of a node, after which Karpenter ends its pods; unset, it waits for as long as
    disruption budgets and calls need."""

    @property
    def purchase(self) -> str:
        """Karpenter's capacity type."""
        if self.capacity_reservation_id or self.capacity_type == "CAPACITY_BLOCK":
            return "reserved"
        return "spot" if self.spot else "on-demand"

    @property
    def ends_on_notice(self) -> bool:
        """True if AWS ends the nodes minutes after a notice, whatever runs on them."""
        return self.spot or self.capacity_type == "CAPACITY_BLOCK"

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes may have, by each label that the parameters decide."""
        return {
            **super().known_labels,
            CAPACITY_LABEL: frozenset([self.purchase]),
            NODE_POOL_LABEL: frozenset([self.name]),
            **({ZONE_LABEL: frozenset(self.zones)} if self.zones else {}),
        }

    @property
    def ami_family(self) -> Literal["Bottlerocket", "AL2023"]:
        """Karpenter's family of the AMI."""
        return "Bottlerocket" if self.brings_device_plugin else "AL2023"

    @property
    def ami_alias(self) -> str:
        """Alias of the EKS AMI, for which Karpenter chooses the variant with NVIDIA's driver."""
        return f"{self.ami_family.lower()}@{self.ami_version}"

    @property
    def limits(self) -> dict[str, str]:
        """Resources of all nodes together that Karpenter may start.

        Before a launch Karpenter subtracts the largest of the instance types that are possible from
        what is left (kubernetes-sigs/karpenter, `scheduling/scheduler.go`, `subtractMax` and
        `filterByRemainingResources`), so `maxSize` nodes need the limits of so many largest ones.
        There it compares no node counts, so that `nodes` alone would let one launch run over.
        """
        if self.retiring:
            return {"nodes": "0", "cpu": "0", "memory": "0", GPU_RESOURCE: "0"}
        nodes = {"nodes": str(self.max_size)}
        known = [INSTANCE_TYPES[name] for name in self.instance_types if name in INSTANCE_TYPES]
        if len(known) < len(self.instance_types):
            # `capacity` is that of the smallest type alone.
            return nodes
        cpu, memory = max(t.cpu for t in known), max(t.memory_gib for t in known)
        return {
            **nodes,
            "cpu": str(math.ceil(self.max_size * cpu)),
            "memory": f"{math.ceil(self.max_size * memory)}Gi",
            GPU_RESOURCE: str(self.max_size * max(t.gpus for t in known)),
        }

    def replica_annotations(self, loading_seconds: int) -> dict[str, str]:
        """Return the annotation by which Karpenter spares a node while a replica loads on it.

        None where AWS ends nodes on notice: Karpenter does not evict a protected pod, and a replica
        that became ready early would end with the node, its calls with it.

        Args:
            loading_seconds: Longest time from the start of a replica's pod until it is ready.
        """
        return {} if self.ends_on_notice else {DO_NOT_DISRUPT: f"{loading_seconds}s"}

    @property
    def most_disrupted(self) -> int:
        """Most nodes that Karpenter may drain at once."""
        always = [one.nodes for one in self.disruption_budgets if not one.schedule]
        return min(always, default=self.max_size)


class Karpenter(AwsPools):
    """NodePools of GPU nodes, which an installed Karpenter starts for pods and removes after."""

    removed: ClassVar[Mapping[str, str]] = REMOVED_NODE_KEYS

    key: ClassVar[str] = "gpuNodes.nodePools"
    noun: ClassVar[str] = "NodePool"

    needed_apis: ClassVar[tuple[tuple[str, str], ...]] = (
        (NODE_POOL_API, "nodepools"),
        (NODE_CLASS_API, "ec2nodeclasses"),
    )
    """API versions and resources that the cluster must serve: Karpenter's."""

    kind: Literal["karpenter"]
    """NodePools of an installed Karpenter; the program declares nothing in AWS."""

    role: Annotated[str, Field(pattern=r"^[\w+=,.@-]{1,64}$")]
    """Name of the nodes' IAM role, which Karpenter passes to instances and whose nodes the cluster
    accepts."""

    discovery: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Value of the tag `karpenter.sh/discovery` of subnets and security groups; unset, the name of
    the cluster."""

    security_group_ids: tuple[Annotated[str, Field(pattern=r"^sg-[0-9a-z]+$")], ...] = Field(
        default=(), max_length=30
    )
    """Security groups of the nodes; unset, those with the tag `karpenter.sh/discovery`."""

    node_pools: tuple[KarpenterPool, ...] = Field(
        default=(KarpenterPool(),), min_length=1, max_length=30
    )
    """NodePools, each with a name of its own."""

    @property
    def stated(self) -> tuple[KarpenterPool, ...]:
        """All NodePools, in the order of the parameters."""
        return self.node_pools

    @property
    def pool(self) -> GpuNodes:
        """Nodes whose taint and architecture the pods' templates state.

        Replicas may run in any pool: of several, it is one whose nodes end on notice.
        """
        taking = [nodes for nodes in self.node_pools if not nodes.retiring]
        ending = next((nodes for nodes in taking if nodes.ends_on_notice), None)
        pool = super().pool
        slowest = {"node_start_seconds": pool.node_start_seconds}
        return ending.model_copy(update=slowest) if ending else pool

    @property
    def groups_at(self) -> tuple[()]:
        """No node group of EKS."""
        return ()

    @property
    def groups(self) -> tuple[()]:
        """No node group of EKS."""
        return ()

    @property
    def needed_outputs(self) -> tuple[str, ...]:
        """Facts of the platform that the NodePools need."""
        tagged = not self.security_group_ids or not all(p.subnet_ids for p in self.node_pools)
        return ("clusterName",) if tagged and not self.discovery else ()
