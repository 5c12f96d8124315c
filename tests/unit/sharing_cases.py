"""Mutations for the checks of shared GPUs."""

from tests.unit.case import Case

SLICED = {"gpuSharing": {"kind": "timeSlicing", "slices": 2}}
MIG = {
    "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
    "gpuNodes.instanceTypes": ["p5.48xlarge"],
    "gpuSharing": {"kind": "mig", "profile": "1g.10gb", "devices": 7},
}

MPS = {
    "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
    "gpuNodes.instanceTypes": ["p3.8xlarge"],
    "gpuNodes.capacity": {"gpus": 4, "cpu": 32, "memoryGib": 244},
    "gpuSharing": {"kind": "mps", "clients": 16},
}

SHARING_CASES = [
    Case("gpuShares", "inference[0].triton.gpus", 2, "belong to one GPU", SLICED),
    Case("gpuShares", "devicePlugin.enabled", False, "nothing shares", SLICED),
    Case("gpuShares", "gpuNodes.amiType", "BOTTLEROCKET_x86_64_NVIDIA",
         "this stack writes none for these nodes", SLICED),
    Case("mps", "platform.kind", "local", "no driver that serves MPS", MPS),
    Case("mps", "gpuSharing.clients", 17, "16 clients of a GPU of these types (V100)", MPS),
    Case("mig", "gpuSharing.profile", "2g.20gb", "more than the 7 that a GPU has", MIG),
    Case("mig", "gpuSharing.profile", "1g.20gb", "divided into 4 devices of 1g.20gb", MIG),
    Case("mig", "gpuSharing.profile", "1g.18gb", "(H100) has no profile 1g.18gb", MIG),
    Case("mig", "gpuNodes.instanceTypes", ["p5en.48xlarge"], "(H200) has no profile 1g.10gb", MIG),
    Case("mig", "gpuNodes.instanceTypes", ["p4d.24xlarge"],
         "4 devices of 1g.10gb, and 7 are stated", MIG),
    Case("mig", "gpuNodes.instanceTypes", ["g6.48xlarge"],
         "MIG cannot divide GPUs of these types (L4)", MIG),
    Case("mig", "platform.kind", "local", "nvidia.com/mig-1g.10gb", MIG),
]  # fmt: skip
