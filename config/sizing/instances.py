"""Capacity, GPU and processor of EC2 instance types.

Source of the capacities: EC2's DescribeInstanceTypes of 2026-07-11, as Karpenter prints it
(aws/karpenter-provider-aws 1d92708, `website/content/en/docs/reference/instance-types.md`).
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from config.units import MIB_PER_GIB

OS_LABEL = "kubernetes.io/os"
ARCHITECTURE_LABEL = "kubernetes.io/arch"
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"

Architecture = Literal["amd64", "arm64"]
"""Value of a node's label `kubernetes.io/arch`."""


class InstanceType(NamedTuple):
    """Capacity of one node: GPUs, vCPUs, memory in GiB and local NVMe disks in GB."""

    gpus: int
    cpu: float
    memory_gib: float
    local_disk_gb: float = 0


def _family(name: str, *sizes: tuple[str, int, int, int, int]) -> dict[str, InstanceType]:
    return {f"{name}.{size}": InstanceType(*capacity) for size, *capacity in sizes}


class Gpu(NamedTuple):
    """Model of a GPU."""

    name: str
    """NVIDIA's name."""

    compute_capability: str
    """CUDA compute capability (developer.nvidia.com/cuda-gpus)."""

    has_mig: bool = False
    """True if MIG divides it (NVIDIA Multi-Instance GPU user guide, "Supported GPUs")."""

    mig_devices: Mapping[str, int] = MappingProxyType({})
    """Most MIG devices of each profile; empty if they are not known."""


MIG_COMPUTE_SLICES = 7
"""Compute slices of a GPU that MIG divides (the same guide, "Concepts")."""


def _sevenths(least: int, double: int, half: int, whole: int) -> Mapping[str, int]:
    """Return the devices of a GPU with seven compute slices and eight of memory, by profile.

    Source: NVIDIA/gpu-operator 0b0b6b1, `assets/state-mig-manager/0400_configmap.yaml`.

    Args:
        least: Memory of a device with one slice of memory, GB; its profile's.
        double: Memory of a device with two.
        half: Memory of a device with four.
        whole: Memory of the GPU.
    """
    return {
        f"1g.{least}gb": 7,
        # The GPU has one set of media extensions.
        f"1g.{least}gb+me": 1,
        f"1g.{double}gb": 4,
        f"2g.{double}gb": 3,
        f"3g.{half}gb": 2,
        f"4g.{half}gb": 1,
        f"7g.{whole}gb": 1,
    }


_MIG_80GB = _sevenths(10, 20, 40, 80)
_MIG_H200 = _sevenths(18, 35, 71, 141)
_MIG_RTX_PRO_6000 = {"1g.24gb": 4, "1g.24gb+me": 1, "2g.48gb": 2, "4g.96gb": 1}
"""Devices of a GPU with four slices (the same file)."""


INSTANCE_TYPES: dict[str, InstanceType] = {
    **_family(
        "g4dn",
        ("xlarge", 1, 4, 16, 125),
        ("2xlarge", 1, 8, 32, 225),
        ("4xlarge", 1, 16, 64, 225),
        ("8xlarge", 1, 32, 128, 900),
        ("12xlarge", 4, 48, 192, 900),
        ("16xlarge", 1, 64, 256, 900),
        ("metal", 8, 96, 384, 1800),
    ),
    **_family(
        "g5",
        ("xlarge", 1, 4, 16, 250),
        ("2xlarge", 1, 8, 32, 450),
        ("4xlarge", 1, 16, 64, 600),
        ("8xlarge", 1, 32, 128, 900),
        ("12xlarge", 4, 48, 192, 3800),
        ("16xlarge", 1, 64, 256, 1900),
        ("24xlarge", 4, 96, 384, 3800),
        ("48xlarge", 8, 192, 768, 7600),
    ),
    **_family(
        "g5g",
        ("xlarge", 1, 4, 8, 0),
        ("2xlarge", 1, 8, 16, 0),
        ("4xlarge", 1, 16, 32, 0),
        ("8xlarge", 1, 32, 64, 0),
        ("16xlarge", 2, 64, 128, 0),
        ("metal", 2, 64, 128, 0),
    ),
    **_family(
        "g6",
        ("xlarge", 1, 4, 16, 250),
        ("2xlarge", 1, 8, 32, 450),
        ("4xlarge", 1, 16, 64, 600),
        ("8xlarge", 1, 32, 128, 900),
        ("12xlarge", 4, 48, 192, 3760),
        ("16xlarge", 1, 64, 256, 1880),
        ("24xlarge", 4, 96, 384, 3760),
        ("48xlarge", 8, 192, 768, 7520),
    ),
    **_family(
        "g6e",
        ("xlarge", 1, 4, 32, 250),
        ("2xlarge", 1, 8, 64, 450),
        ("4xlarge", 1, 16, 128, 600),
        ("8xlarge", 1, 32, 256, 900),
        ("12xlarge", 4, 48, 384, 3800),
        ("16xlarge", 1, 64, 512, 1900),
        ("24xlarge", 4, 96, 768, 3800),
        ("48xlarge", 8, 192, 1536, 7600),
    ),
    **_family(
        "g7e",
        ("2xlarge", 1, 8, 64, 1900),
        ("4xlarge", 1, 16, 128, 1900),
        ("8xlarge", 1, 32, 256, 1900),
        ("12xlarge", 2, 48, 512, 3800),
        ("24xlarge", 4, 96, 1024, 7600),
        ("48xlarge", 8, 192, 2048, 15200),
    ),
    **_family("gr6", ("4xlarge", 1, 16, 128, 600), ("8xlarge", 1, 32, 256, 900)),
    **_family("p4d", ("24xlarge", 8, 96, 1152, 8000)),
    **_family("p4de", ("24xlarge", 8, 96, 1152, 8000)),
    **_family("p5", ("4xlarge", 1, 16, 256, 3800), ("48xlarge", 8, 192, 2048, 30400)),
    **_family("p5e", ("48xlarge", 8, 192, 2048, 30400)),
    **_family("p5en", ("48xlarge", 8, 192, 2048, 30400)),
    **_family("p6-b200", ("48xlarge", 8, 192, 2048, 30400)),
    **_family("p6-b300", ("48xlarge", 8, 192, 4096, 30400)),
}

_MAX_PODS: dict[int, str] = {
    29: "g4dn.xlarge g4dn.2xlarge g4dn.4xlarge",
    58: "g4dn.8xlarge g4dn.16xlarge g5.xlarge g5.2xlarge g5g.xlarge g5g.2xlarge g6.xlarge "
    "g6.2xlarge g6e.xlarge g6e.2xlarge",
    100: "p5.48xlarge p5e.48xlarge",
    118: "p5.4xlarge",
    198: "p5en.48xlarge p6-b200.48xlarge",
    234: "g4dn.12xlarge g5.4xlarge g5.8xlarge g5.16xlarge g5g.4xlarge g5g.8xlarge g6.4xlarge "
    "g6.8xlarge g6.12xlarge g6e.4xlarge g6e.8xlarge gr6.4xlarge gr6.8xlarge",
    292: "g6e.12xlarge",
    345: "g5.48xlarge",
    492: "g6e.24xlarge g6e.48xlarge",
}
"""Instance types by the pods that the EKS AMI lets them run (awslabs/amazon-eks-ami 0254c5b,
`templates/shared/runtime/eni-max-pods.txt`)."""

_MOST_PODS = 737
"""Pods of all others in that file that have NVIDIA GPUs, and an upper bound where it has none."""

_VM_SHARE = 0.075
"""Share of the nominal memory that the hypervisor and the kernel keep (Karpenter's
`VM_MEMORY_OVERHEAD_PERCENT`; aws/karpenter-provider-aws#7929 has measured values below it)."""

_KUBELET_MIB, _POD_MIB, _EVICTION_MIB = 255, 11, 100
"""kube-reserved of the EKS AMI, its part for each pod, and the memory below which kubelet evicts
(awslabs/amazon-eks-ami 81fec2e, `nodeadm/internal/kubelet/config.go`)."""

_KUBELET_CPU_SHARES = ((0.06, 0, 1), (0.01, 1, 2), (0.005, 2, 4), (0.0025, 4, math.inf))
"""kube-reserved of the EKS AMI: shares of the vCPUs from a number to another (the same file,
`getCPUMillicoresToReserve`)."""

_DAEMON_SETS_CPU = 0.42
"""vCPUs that the DaemonSets of a node request: VPC CNI with its policy agent 0.05, kube-proxy 0.1,
EBS CSI driver 0.03, device plugin 0.05, and an estimate for agents of logs and metrics."""

_GPUS: dict[str, Gpu] = {
    "p3": Gpu("V100", "7.0"),
    "p3dn": Gpu("V100", "7.0"),
    "g4dn": Gpu("T4", "7.5"),
    "g5g": Gpu("T4G", "7.5"),
    "p4d": Gpu("A100", "8.0", has_mig=True, mig_devices=_sevenths(5, 10, 20, 40)),
    "p4de": Gpu("A100", "8.0", has_mig=True, mig_devices=_MIG_80GB),
    "g5": Gpu("A10G", "8.6"),
    "g6": Gpu("L4", "8.9"),
    "g6f": Gpu("L4", "8.9"),
    "gr6": Gpu("L4", "8.9"),
    "gr6f": Gpu("L4", "8.9"),
    "g6e": Gpu("L40S", "8.9"),
    "p5": Gpu("H100", "9.0", has_mig=True, mig_devices=_MIG_80GB),
    "p5e": Gpu("H200", "9.0", has_mig=True, mig_devices=_MIG_H200),
    "p5en": Gpu("H200", "9.0", has_mig=True, mig_devices=_MIG_H200),
    "p6-b200": Gpu("B200", "10.0", has_mig=True, mig_devices=_sevenths(23, 45, 90, 180)),
    "p6e-gb200": Gpu("GB200", "10.0", has_mig=True),
    "p6-b300": Gpu("B300", "10.3", has_mig=True),
    "g7e": Gpu("RTX PRO 6000", "12.0", has_mig=True, mig_devices=_MIG_RTX_PRO_6000),
}
"""NVIDIA GPU of each instance family."""

_NVIDIA_FAMILY = re.compile(r"(p|g|gr)\d")
_AMD_FAMILY = "g4ad"
_ATTRIBUTES = re.compile(r"[a-z]+\d+([a-z]*)")


def gpu_of(instance_type: str) -> Gpu | None:
    """Return the NVIDIA GPU of an instance type; None where the family is not known."""
    return _GPUS.get(_family_of(instance_type))


def has_nvidia_gpu(instance_type: str) -> bool:
    """Return whether an instance type has NVIDIA GPUs, by its family.

    AWS names its accelerated families with NVIDIA GPUs `p` and `g`; `g4ad` has GPUs of AMD (EC2
    user guide, "Amazon EC2 instance type naming conventions").
    """
    family = _family_of(instance_type)
    return bool(_NVIDIA_FAMILY.match(family)) and family != _AMD_FAMILY


def architecture_of(instance_type: str) -> Architecture:
    """Return the processor architecture of an instance type, by its name.

    A `g` among the letters after the generation stands for AWS Graviton, and so do `a1` and the
    Grace processor of `gb` (EC2 user guide, "Amazon EC2 instance type naming conventions").
    """
    family = _family_of(instance_type)
    attributes = _ATTRIBUTES.match(family)
    graviton = attributes is not None and "g" in attributes[1]
    return "arm64" if graviton or family == "a1" or "-gb" in family else "amd64"


def most_pods(instance_type: str) -> int:
    """Return the pods that the EKS AMI lets an instance type run; an upper bound if unknown."""
    return next(
        (most for most, types in _MAX_PODS.items() if instance_type in types.split()), _MOST_PODS
    )


def usable_memory_gib(memory_gib: float, pods: int) -> float:
    """Return the memory that pods can request on a node, GiB, on the safe side.

    Args:
        memory_gib: Nominal memory of the node, GiB.
        pods: Pods that the node may run.
    """
    kept = _KUBELET_MIB + _POD_MIB * pods + _EVICTION_MIB
    return max(0.0, memory_gib * (1 - _VM_SHARE) - kept / MIB_PER_GIB)


def usable_cpu(cpu: float) -> float:
    """Return the vCPUs that pods can request on a node, beside EKS's DaemonSets.

    Args:
        cpu: Number of its vCPUs.
    """
    kept = sum(share * max(0.0, min(cpu, end) - start) for share, start, end in _KUBELET_CPU_SHARES)
    return round(cpu - kept - _DAEMON_SETS_CPU, 3)


def _family_of(instance_type: str) -> str:
    return instance_type.partition(".")[0]
