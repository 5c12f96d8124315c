"""EKS managed node groups of GPU nodes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.base import DnsLabel, Section
from config.sections.gpu_nodes import REMOVED_NODE_KEYS, GpuNodes, Pool, Taint
from config.sizing.instances import ARCHITECTURE_LABEL, INSTANCE_TYPE_LABEL, Architecture

FIRST_GROUP = "gpu"
"""Name of a group that states none: the name of the only group in earlier versions."""

GROUP_LABEL = "kubemind-inference/node-group"
"""Node label with the group's name, by which `kubectl drain` selects the nodes of a group."""

RETIRING_TAINT = "kubemind-inference/retiring"
"""Key of the taint that keeps new pods off a retiring group."""


_ACCELERATOR = {"k8s.amazonaws.com/accelerator": "nvidia"}
"""Label by which the Cluster Autoscaler knows nodes whose GPUs are not advertised yet, and waits
for them (kubernetes/autoscaler, `cloudprovider/aws/aws_cloud_provider.go`, `GPULabel`)."""


def _arn(service: str, resource: str) -> str:
    region = "" if service == "iam" else "[a-z0-9-]+"
    return rf"^arn:aws[a-z-]*:{service}:{region}:([0-9]{{12}}|aws):{resource}$"


_POLICY = _arn("iam", r"policy/[\w+=,.@/-]+")
_TAG_TEXT = r"[\w .:/=+@-]"

TagKey = Annotated[str, Field(pattern=rf"^{_TAG_TEXT}+$", max_length=128)]
"""Key of an AWS tag (EKS's shape `TagKey`, IAM's `tagKeyType`)."""

TagValue = Annotated[str, Field(pattern=rf"^{_TAG_TEXT}*$", max_length=256)]
"""Value of an AWS tag (EKS's shape `TagValue`, IAM's `tagValueType`)."""

_CAPACITY_LABEL = "eks.amazonaws.com/capacityType"
"""Label that EKS sets on the nodes of a managed node group ("Managed node group capacity types" in
its user guide)."""


class NodeGroup(GpuNodes):
    """An EKS managed node group."""

    name: Annotated[DnsLabel, Field(max_length=40)] = FIRST_GROUP
    """Name of the group, unique in the list; the AWS names of the group, its role and its launch
    template begin with it. Another name is another group."""

    retiring: bool = False
    """True for a group that is to be removed: it takes no new pods, counts in no capacity check and
    is not protected. Its pods keep running until `kubectl drain` moves them."""

    max_unavailable: int = Field(default=1, ge=1, le=100)
    """Nodes that a node-group update may make unavailable at once; EKS allows 100 at most."""

    update_strategy: Literal["DEFAULT", "MINIMAL"] = "DEFAULT"
    """Order of a node-group update: `DEFAULT` starts new nodes first, up to twice as many as the
    group has zones; `MINIMAL` ends old nodes first, for GPUs that are scarce."""

    kubernetes_version: Annotated[str, Field(pattern=r"^1\.[0-9]{2}$")] | None = None
    """Kubernetes version of the nodes, such as `1.34`; unset, the control plane's at the group's
    creation and at each change of its launch template."""

    release_version: Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.-]{2,62}$")] | None = None
    """Release of the AMI, such as `1.34.2-20260709`; unset, the newest at the group's creation and
    at each change of its launch template. Another release exchanges the nodes; EKS refuses an
    earlier one."""

    subnet_ids: tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-z-]+$")], ...] = ()
    """Subnets of the group; unset, those of the platform. One group for each zone keeps the Auto
    Scaling group from moving nodes between zones, which ignores disruption budgets."""

    capacity_reservation_id: Annotated[str, Field(pattern=r"^cr-[0-9a-f]{8,17}$")] | None = None
    """Capacity reservation or Capacity Block that the nodes run in, and nowhere else."""

    disk_throughput_mibps: int = Field(default=600, ge=125, le=2000)
    """Throughput of each node's disk, MiB/s, which images and copies of models share; the EKS AMI
    asks for 600 at least."""

    disk_iops: int = Field(default=3000, ge=3000, le=80_000)
    """I/O operations per second of each node's disk."""

    kms_key_arn: Annotated[str, Field(pattern=_arn("kms", "key/[0-9a-zA-Z-]+"))] | None = None
    """KMS key of the disks; unset, the account's default key for EBS."""

    permissions_boundary_arn: Annotated[str, Field(pattern=_POLICY)] | None = None
    """IAM policy that bounds the permissions of the nodes' role."""

    ssm: bool = False
    """True to let Session Manager open a shell on the nodes."""

    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, max_length=40, json_schema_extra={"additionalProperties": False}
    )
    """Tags of everything that belongs to the group in AWS, instances, volumes and network
    interfaces included, beside the tags `project` and `stack`."""

    vpc_cni_policy: bool = True
    """True if the nodes' role carries the VPC CNI's permissions; off if the add-on has a role."""

    @property
    def architecture(self) -> Architecture:
        """Architecture of the nodes: the AMI's."""
        return self.ami_architecture

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes may have, by each label that the parameters decide."""
        return {
            **super().known_labels,
            ARCHITECTURE_LABEL: frozenset([self.ami_architecture]),
            INSTANCE_TYPE_LABEL: frozenset(self.instance_types),
            _CAPACITY_LABEL: frozenset([self.capacity_type]),
        }

    @property
    def node_labels(self) -> dict[str, str]:
        """All labels of a GPU node."""
        return {**_ACCELERATOR, **super().node_labels, GROUP_LABEL: self.name}

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Taints of the nodes."""
        return (self.taint, Taint(key=RETIRING_TAINT)) if self.retiring else (self.taint,)

    @property
    def lowest_size(self) -> int:
        """Fewest nodes for EKS: a retiring group may become empty."""
        return 0 if self.retiring else self.min_size


class EksNodeGroups(Section):
    """EKS managed node groups that the stack creates."""

    removed: ClassVar[Mapping[str, str]] = REMOVED_NODE_KEYS

    kind: Literal["eksNodeGroups"]
    """EKS managed node groups that the stack creates."""

    groups: tuple[NodeGroup, ...] = Field(default=(NodeGroup(),), min_length=1, max_length=30)
    """Node groups, each with a name of its own. To replace one without an outage, add another
    beside it (docs/eks.md)."""

    @property
    def groups_at(self) -> tuple[tuple[NodeGroup, Pool], ...]:
        """All groups, each with its place in the parameters."""
        return tuple(
            (group, Pool(group, f"gpuNodes.groups[{index}]"))
            for index, group in enumerate(self.groups)
        )

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Groups that take new pods; every capacity check counts them."""
        return tuple(pool for group, pool in self.groups_at if not group.retiring)

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes of any group may have, by each label that parameters decide."""
        found: dict[str, frozenset[str]] = {}
        for pool in self.pools:
            for key, values in pool.nodes.known_labels.items():
                found[key] = found.get(key, frozenset()) | values
        return found

    @property
    def pool(self) -> GpuNodes:
        """Nodes whose taint and architecture the pods' templates state.

        Groups that take new pods have the same (a check refuses others). Of their start times the
        longest counts.
        """
        taking = [group for group in self.groups if not group.retiring] or [*self.groups]
        slowest = max(group.node_start_seconds for group in taking)
        return taking[0].model_copy(update={"node_start_seconds": slowest})
