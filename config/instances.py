"""What a node of each GPU instance type holds.

Source: the AWS EC2 instance type pages (accelerated computing), read 2026-11.
"""

from typing import NamedTuple


class InstanceType(NamedTuple):
    """Capacity of one node: GPUs, vCPUs and memory in GiB."""

    gpus: int
    cpu: float
    memory_gib: float


def _family(name: str, *sizes: tuple[str, int, int, int]) -> dict[str, InstanceType]:
    return {f"{name}.{size}": InstanceType(gpus, cpu, mem) for size, gpus, cpu, mem in sizes}


_G_SIZES = (
    ("xlarge", 1, 4, 16),
    ("2xlarge", 1, 8, 32),
    ("4xlarge", 1, 16, 64),
    ("8xlarge", 1, 32, 128),
    ("12xlarge", 4, 48, 192),
)
_G5_SIZES = (
    *_G_SIZES,
    ("16xlarge", 1, 64, 256),
    ("24xlarge", 4, 96, 384),
    ("48xlarge", 8, 192, 768),
)

INSTANCE_TYPES: dict[str, InstanceType] = {
    **_family("g4dn", *_G_SIZES, ("16xlarge", 1, 64, 256), ("metal", 8, 96, 384)),
    **_family("g5", *_G5_SIZES),
    **_family("g6", *_G5_SIZES),
    **_family("g6e", *((size, gpus, cpu, 2 * mem) for size, gpus, cpu, mem in _G5_SIZES)),
    **_family("p4d", ("24xlarge", 8, 96, 1152)),
    **_family("p4de", ("24xlarge", 8, 96, 1152)),
    **_family("p5", ("48xlarge", 8, 192, 2048)),
    **_family("p5e", ("48xlarge", 8, 192, 2048)),
    **_family("p5en", ("48xlarge", 8, 192, 2048)),
}
