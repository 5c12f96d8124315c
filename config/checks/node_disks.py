"""Checks of node groups' disks and capacity reservations: AWS accepts them, and copies are fast."""

import math
from collections.abc import Iterator

from config.base import OWNER_TAGS
from config.checks.stack_paths import stacks
from config.problem import Finding, number, refuse, warn
from config.sections.triton import COPY_MIB_PER_SECOND
from config.settings import Settings
from config.sizing.packing import replicas_per_node
from config.units import MIB_PER_GIB

IOPS_PER_MIBPS = 4
"""Least I/O operations per second of a gp3 volume for each MiB/s (EBS user guide, "General Purpose
SSD volumes": at most 0.25 MiB/s for each provisioned operation)."""

IOPS_PER_GIB = 500
"""Most I/O operations per second of a gp3 volume for each GiB (the same page)."""

MAX_MIBPS = 2000
"""Highest throughput of a gp3 volume, MiB/s (the same page)."""

BASELINE_IOPS = 3000
"""I/O operations per second of every gp3 volume (the same page)."""


@refuse
def disk_speed(settings: Settings) -> Iterator[Finding]:
    """EBS accepts throughput and I/O operations of the disks."""
    for group, pool in settings.gpu_nodes.created:
        throughput, iops = group.disk_throughput_mibps, group.disk_iops
        keys: dict[str, object] = {
            pool.key("diskThroughputMibps"): throughput,
            pool.key("diskIops"): iops,
        }
        if throughput * IOPS_PER_MIBPS > iops:
            yield Finding(
                keys=keys,
                reason=(
                    f"a gp3 volume of {throughput} MiB/s needs {throughput * IOPS_PER_MIBPS} I/O "
                    "operations per second at least"
                ),
                change={pool.key("diskIops"): throughput * IOPS_PER_MIBPS},
            )
        most = max(BASELINE_IOPS, IOPS_PER_GIB * group.disk_gib)
        if iops > most:
            yield Finding(
                keys={**keys, pool.key("diskGib"): group.disk_gib},
                reason=(
                    f"a gp3 volume of {group.disk_gib} GiB has {number(most)} I/O operations per "
                    "second at most"
                ),
                change={pool.key("diskGib"): math.ceil(iops / IOPS_PER_GIB)},
            )


@warn
def copy_speed(settings: Settings) -> Iterator[Finding]:
    """A node's volume takes the copies of all its replicas at the rate that start-up times count.

    Of local disks no rate is known; EBS volumes are slower.
    """
    groups = [
        (group, pool)
        for group, pool in settings.gpu_nodes.groups_at
        if not (group.retiring or group.unknown_instance_types or group.launch_template)
        and group.local_disks == "none"
    ]
    for at in stacks(settings):
        copied = at.stack.triton.model_repository.copied_mib
        for group, pool in groups if copied else ():
            held = replicas_per_node(settings, at.stack, group).replicas
            needed, throughput = held * COPY_MIB_PER_SECOND, group.disk_throughput_mibps
            if needed <= throughput:
                continue
            yield Finding(
                keys={
                    pool.key("diskThroughputMibps"): throughput,
                    at.key("triton.modelRepository.cacheGib"): copied / MIB_PER_GIB,
                },
                reason=(
                    f"{held} replicas that start on a node at once write their models at "
                    f"{throughput} MiB/s together, and the start-up times count "
                    f"{COPY_MIB_PER_SECOND} MiB/s for each"
                ),
                change={
                    pool.key("diskThroughputMibps"): needed,
                    pool.key("diskIops"): max(group.disk_iops, needed * IOPS_PER_MIBPS),
                },
                fix=f"set {pool.key('localDisks')} to raid0" if needed > MAX_MIBPS else "",
            )


@refuse
def local_disks(settings: Settings) -> Iterator[Finding]:
    """Every instance type of a group that uses local disks has some."""
    for group, pool in settings.gpu_nodes.groups_at:
        # Another check asks for the capacity of unknown types.
        if group.local_disks == "none" or group.unknown_instance_types:
            continue
        if group.node.local_disk_gb:
            continue
        size = pool.key("capacity.localDiskGb" if group.capacity else "instanceTypes")
        yield Finding(
            keys={
                pool.key("localDisks"): group.local_disks,
                size: 0 if group.capacity else list(group.instance_types),
            },
            reason="a node has no local NVMe disk: its images and pods stay on the EBS volume",
            change={pool.key("localDisks"): "none"},
        )


@refuse
def capacity_reservation(settings: Settings) -> Iterator[Finding]:
    """A Capacity Block names its reservation, and spot nodes have none."""
    for group, pool in settings.gpu_nodes.created:
        kind, reservation = group.capacity_type, group.capacity_reservation_id
        keys: dict[str, object] = {
            pool.key("capacityType"): kind,
            pool.key("capacityReservationId"): reservation,
        }
        if kind == "CAPACITY_BLOCK" and not reservation and group.names_reservation:
            yield Finding(
                keys=keys,
                reason="a Capacity Block is bought ahead, and this pool does not name its own",
                fix=f"set {pool.key('capacityReservationId')} to the block's id (cr-...)",
            )
        if kind == "SPOT" and reservation:
            yield Finding(
                keys=keys,
                reason="spot nodes do not run in a capacity reservation: EC2 refuses to start them",
                change={pool.key("capacityType"): "ON_DEMAND"},
            )
        if kind == "CAPACITY_BLOCK" and len(group.instance_types) > 1:
            yield Finding(
                keys={**keys, pool.key("instanceTypes"): list(group.instance_types)},
                reason="a Capacity Block holds instances of one type",
                fix=f"leave its type alone in {pool.key('instanceTypes')}",
            )


@refuse
def group_tags(settings: Settings) -> Iterator[Finding]:
    """The stack alone sets the tags that name it, and AWS those of its own prefix."""
    for group, pool in settings.gpu_nodes.created:
        taken = [
            key
            for key in group.tags
            if key in OWNER_TAGS or key.lower().startswith(group.reserved_tags)
        ]
        if taken:
            yield Finding(
                keys={pool.key("tags"): group.tags},
                reason=f"{group.tagging} sets the tag {' and '.join(taken)} itself",
                change={pool.key("tags"): {k: v for k, v in group.tags.items() if k not in taken}},
            )
