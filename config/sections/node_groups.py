"""EKS managed node groups of GPU nodes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.base import DnsLabel, Section
from config.sections.aws_nodes import FIRST_GROUP, AwsNodes, AwsPools, SubnetId, arn
from config.sections.gpu_nodes import REMOVED_NODE_KEYS, Pool, SizedNodes
from config.units import GB_PER_GIB

GROUP_LABEL = "kubemind-inference/node-group"
"""Node label with the group's name, by which `kubectl drain` selects the nodes of a group."""

_ACCELERATOR = {"k8s.amazonaws.com/accelerator": "nvidia"}
"""Label by which the Cluster Autoscaler knows nodes whose GPUs are not advertised yet, and waits
for them (kubernetes/autoscaler, `cloudprovider/aws/aws_cloud_provider.go`, `GPULabel`)."""

_POLICY = arn("iam", r"policy/[\w+=,.@/-]+")

_CAPACITY_LABEL = "eks.amazonaws.com/capacityType"
"""Label that EKS sets on the nodes of a managed node group ("Managed node group capacity types" in
its user guide)."""


class OwnTemplate(Section):
    """A launch template of EC2 that someone else writes."""

    id: Annotated[str, Field(pattern=r"^lt-[0-9a-f]{8,17}$")]
    """ID of the template. It names no AMI, no role and, but for a Capacity Block, no instance
    type; its disk is `diskGib`."""

    version: int = Field(ge=1, le=1_000_000)
    """Version of the template; another one exchanges the nodes."""


class NodeGroup(AwsNodes, SizedNodes):
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
    group has zones; `MINIMAL` ends old nodes first, for GPUs that are scarce. Then other nodes must
    have room for the replicas that the disruption budget waits for."""

    kubernetes_version: Annotated[str, Field(pattern=r"^1\.[0-9]{2}$")] | None = None
    """Kubernetes version of the nodes, such as `1.34`; unset, the control plane's at the group's
    creation and at each change of its launch template."""

    release_version: Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.-]{2,62}$")] | None = None
    """Release of the AMI, such as `1.34.2-20260709`; unset, the newest at the group's creation and
    at each change of its launch template. Another release exchanges the nodes; EKS refuses an
    earlier one."""

    subnet_ids: tuple[SubnetId, ...] = ()
    """Subnets of the group; unset, those of the platform. One group for each zone keeps the Auto
    Scaling group from moving nodes between zones, which ignores disruption budgets."""

    local_disks: Literal["none", "raid0"] = "none"
    """Use of the instance types' local NVMe disks: `raid0` makes them one disk that holds images
    and the files of pods, and counts in place of `diskGib`. A node takes it along when it ends."""

    fast_image_pull: bool = False
    """True to load and unpack the parts of an image at once, which takes memory, CPU and disk speed
    while a node starts. nodeadm calls it experimental; it needs an AMI release of late 2025."""

    user_data: Annotated[str, Field(max_length=16 * 1024)] | None = None
    """Further user data of the nodes: for Bottlerocket settings in TOML, else a shell script that
    begins with `#!`, or a `NodeConfig` of nodeadm. No place for secrets."""

    launch_template: OwnTemplate | None = None
    """Launch template of the nodes; unset, the stack writes one."""

    role_arn: Annotated[str, Field(pattern=arn("iam", r"role/[\w+=,.@/-]+"))] | None = None
    """IAM role of the nodes, with the policies of its owner; unset, the stack creates one."""

    permissions_boundary_arn: Annotated[str, Field(pattern=_POLICY)] | None = None
    """IAM policy that bounds the permissions of the nodes' role."""

    ssm: bool = False
    """True to let Session Manager open a shell on the nodes."""

    vpc_cni_policy: bool = True
    """True if the nodes' role carries the VPC CNI's permissions; off if the add-on has a role."""

    @property
    def pods_disk_gib(self) -> float:
        """Disk of one node that holds images and the files of pods, GiB."""
        local = 0.0 if self.local_disks == "none" else self.node.local_disk_gb / GB_PER_GIB
        # A node without local disks keeps all on its EBS volume.
        return local or super().pods_disk_gib

    @property
    def disk_keys(self) -> dict[str, object]:
        """Parameters that decide the disk for pods, with their values."""
        return super().disk_keys if self.local_disks == "none" else {"localDisks": self.local_disks}

    @property
    def names_reservation(self) -> bool:
        """True unless a launch template of another owner says it."""
        return self.launch_template is None

    @property
    def takes_user_data(self) -> bool:
        """True if the stack writes the launch template."""
        return self.launch_template is None

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes may have, by each label that the parameters decide."""
        return {
            **super().known_labels,
            _CAPACITY_LABEL: frozenset([self.capacity_type]),
        }

    @property
    def node_labels(self) -> dict[str, str]:
        """All labels of a GPU node."""
        return {**_ACCELERATOR, **super().node_labels, GROUP_LABEL: self.name}

    @property
    def lowest_size(self) -> int:
        """Fewest nodes for EKS: a retiring group may become empty."""
        return 0 if self.retiring else self.min_size


class EksNodeGroups(AwsPools):
    """EKS managed node groups that the stack creates."""

    removed: ClassVar[Mapping[str, str]] = REMOVED_NODE_KEYS

    key: ClassVar[str] = "gpuNodes.groups"
    noun: ClassVar[str] = "node group"

    needed_apis: ClassVar[tuple[tuple[str, str], ...]] = ()
    """API versions and resources that the cluster must serve for them: none."""

    kind: Literal["eksNodeGroups"]
    """EKS managed node groups that the stack creates."""

    groups: tuple[NodeGroup, ...] = Field(default=(NodeGroup(),), min_length=1, max_length=30)
    """Node groups, each with a name of its own. To replace one without an outage, add another
    beside it (docs/eks.md)."""

    @property
    def needed_outputs(self) -> tuple[str, ...]:
        """Facts of the platform that the groups need."""
        return ("clusterName", "subnetIds")

    @property
    def stated(self) -> tuple[NodeGroup, ...]:
        """All groups, in the order of the parameters."""
        return self.groups

    @property
    def groups_at(self) -> tuple[tuple[NodeGroup, Pool], ...]:
        """All groups, each with its place in the parameters."""
        return tuple(
            (group, pool) for group, (_, pool) in zip(self.groups, self.created, strict=True)
        )
