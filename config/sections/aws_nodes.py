"""Pools of GPU nodes that the stack creates on AWS, of every kind."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from config.base import DnsLabel, Section
from config.sections.gpu_nodes import GpuNodes, Pool, Taint
from config.sizing.instances import ARCHITECTURE_LABEL, INSTANCE_TYPE_LABEL, Architecture

FIRST_GROUP = "gpu"
"""Name of a pool that states none: the name of the only node group in earlier versions."""

RETIRING_TAINT = "kubemind-inference/retiring"
"""Key of the taint that keeps new pods off a retiring pool."""


def arn(service: str, resource: str) -> str:
    """Return a pattern of ARNs.

    Args:
        service: AWS service.
        resource: Pattern of the resource.
    """
    region = "" if service == "iam" else "[a-z0-9-]+"
    return rf"^arn:aws[a-z-]*:{service}:{region}:([0-9]{{12}}|aws):{resource}$"


_TAG_TEXT = r"[\w .:/=+@-]"

TagKey = Annotated[str, Field(pattern=rf"^{_TAG_TEXT}+$", max_length=128)]
"""Key of an AWS tag (EKS's shape `TagKey`, IAM's `tagKeyType`)."""

TagValue = Annotated[str, Field(pattern=rf"^{_TAG_TEXT}*$", max_length=256)]
"""Value of an AWS tag (EKS's shape `TagValue`, IAM's `tagValueType`)."""

SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-z-]+$")]
"""ID of a subnet."""


class AwsNodes(GpuNodes):
    """A pool of GPU nodes that the stack creates on AWS."""

    reserved_tags: ClassVar[tuple[str, ...]] = ("aws:",)
    """Beginnings of tag keys that only AWS, or the agent that starts the nodes, may set."""

    tagging: ClassVar[str] = "the stack or AWS"
    """Agents that set tags by themselves, for messages."""

    name: Annotated[DnsLabel, Field(max_length=40)] = FIRST_GROUP
    """Name of the pool, unique in the list."""

    retiring: bool = False
    """True for a pool that is to be removed."""

    subnet_ids: tuple[SubnetId, ...] = ()
    """Subnets of the pool."""

    capacity_reservation_id: Annotated[str, Field(pattern=r"^cr-[0-9a-f]{8,17}$")] | None = None
    """Capacity reservation or Capacity Block that the nodes run in, and nowhere else."""

    disk_throughput_mibps: int = Field(default=600, ge=125, le=2000)
    """Throughput of each node's disk, MiB/s, which images and copies of models share; the EKS AMI
    asks for 600 at least."""

    disk_iops: int = Field(default=3000, ge=3000, le=80_000)
    """I/O operations per second of each node's disk."""

    kms_key_arn: Annotated[str, Field(pattern=arn("kms", "key/[0-9a-zA-Z-]+"))] | None = None
    """KMS key of the disks; unset, the account's default key for EBS."""

    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, max_length=40, json_schema_extra={"additionalProperties": False}
    )
    """Tags of everything that belongs to the group in AWS, instances, volumes and network
    interfaces included, beside the tags `project` and `stack`."""

    @property
    def names_reservation(self) -> bool:
        """True if the parameters say in which reservation the nodes run."""
        return True

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
        }

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Taints of the nodes."""
        return (self.taint, Taint(key=RETIRING_TAINT)) if self.retiring else (self.taint,)


class AwsPools(Section):
    """Several pools that the stack creates; each kind states them under a key of its own."""

    key: ClassVar[str]
    """YAML path of the list."""

    noun: ClassVar[str]
    """Name of one of them in messages."""

    @property
    def stated(self) -> Sequence[AwsNodes]:
        """All pools, in the order of the parameters."""
        raise NotImplementedError

    @property
    def created(self) -> tuple[tuple[AwsNodes, Pool], ...]:
        """All pools that the stack creates, each with its place in the parameters."""
        return tuple(
            (nodes, Pool(nodes, f"{self.key}[{index}]")) for index, nodes in enumerate(self.stated)
        )

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Pools that take new pods; every capacity check counts them."""
        return tuple(pool for nodes, pool in self.created if not nodes.retiring)

    @property
    def known_labels(self) -> dict[str, frozenset[str]]:
        """Values that nodes of any pool may have, by each label that parameters decide."""
        found: dict[str, frozenset[str]] = {}
        for pool in self.pools:
            for key, values in pool.nodes.known_labels.items():
                found[key] = found.get(key, frozenset()) | values
        return found

    @property
    def pool(self) -> GpuNodes:
        """Nodes whose taint and architecture the pods' templates state.

        Pools that take new pods have the same (a check refuses others). Of their start times the
        longest counts.
        """
        taking = [nodes for nodes in self.stated if not nodes.retiring] or [*self.stated]
        slowest = max(nodes.node_start_seconds for nodes in taking)
        return taking[0].model_copy(update={"node_start_seconds": slowest})
