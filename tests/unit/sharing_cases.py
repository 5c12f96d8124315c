"""Mutations for the checks of shared GPUs."""

from tests.unit.case import Case

SLICED = {"gpuSharing": {"kind": "timeSlicing", "slices": 2}}
MIG = {
    "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
    "gpuNodes.instanceTypes": ["p5.48xlarge"],
    "gpuSharing": {"kind": "mig", "profile": "1g.10gb", "devices": 7},
}

SHARING_CASES = [
    Case("gpuShares", "inference[0].triton.gpus", 2, "belong to one GPU", SLICED),
    Case("gpuShares", "devicePlugin.enabled", False, "nothing shares", SLICED),
    Case("gpuShares", "gpuNodes.amiType", "BOTTLEROCKET_x86_64_NVIDIA",
         "settings.kubelet-device-plugins.nvidia", SLICED),
    Case("mps", "gpuSharing.kind", "mps", "over that of each replica"),
    Case("mig", "gpuSharing.profile", "2g.20gb", "more than the 7 that a GPU has", MIG),
    Case("mig", "gpuNodes.instanceTypes", ["g6.48xlarge"],
         "MIG cannot divide GPUs of these types (L4)", MIG),
    Case("mig", "platform.kind", "local", "nvidia.com/mig-1g.10gb", MIG),
]  # fmt: skip
