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
        return {**super().node_labels, GROUP_LABEL: self.name}

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
