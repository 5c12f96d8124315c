"""A mutation for each check of Karpenter's pools."""

from tests.unit.case import Case
from tests.unit.check_cases import EKS, PROD

POOL = "gpuNodes.nodePools[0]"
KARPENTER = {
    **EKS,
    "gpuNodes": {"kind": "karpenter", "role": "KarpenterNodeRole", "nodePools": [{}]},
}
TWO_POOLS = {**KARPENTER, "gpuNodes.nodePools": [{}, {"name": "beside"}]}
BOTTLEROCKET = {**KARPENTER, f"{POOL}.amiType": "BOTTLEROCKET_x86_64_NVIDIA"}
SPOT = {**KARPENTER, f"{POOL}.capacityType": "SPOT"}
RESERVATION = "cr-02168da1478b509e0"

CASES = [
    Case("amiRelease", f"{POOL}.amiVersion", "latest", "whenever AWS publishes an AMI",
         {**KARPENTER, **PROD, "platform": KARPENTER["platform"],
          f"{POOL}.amiVersion": "v20260709"}),
    Case("amiAlias", f"{POOL}.amiVersion", "v1.47.0", "AL2023 has releases such as v20260709",
         KARPENTER),
    Case("amiAlias", f"{POOL}.amiVersion", "v20260709", "Bottlerocket has releases such as v1.47.0",
         BOTTLEROCKET),
    Case("amiAlias", f"{POOL}.amiType", "BOTTLEROCKET_x86_64_NVIDIA_FIPS", "never names the FIPS",
         KARPENTER),
    Case("nodePoolLabels", f"{POOL}.labels", {"team": "a", "karpenter.sh/capacity-type": "spot"},
         "sets the label karpenter.sh/capacity-type itself", KARPENTER),
    Case("nodePoolLabels", f"{POOL}.labels", {"kubernetes.io/hostname": "a"},
         "sets the label kubernetes.io/hostname itself", KARPENTER),
    Case("budgetSchedules", f"{POOL}.disruptionBudgets[0].durationMinutes", 60,
         "a schedule and a duration only together", KARPENTER),

    Case("drainLimit", f"{POOL}.terminationGraceSeconds", 60, "leave in 4 rounds", KARPENTER),
    Case("consolidationWait", f"{POOL}.consolidateAfterSeconds", 300, "may take 660 s to load",
         KARPENTER),
    Case("karpenterGpus", "gpuSharing.kind", {"kind": "mig", "profile": "1g.10gb", "devices": 7},
         "no nvidia.com/mig-1g.10gb",
         {**KARPENTER, f"{POOL}.instanceTypes": ["p5.48xlarge"]}),
    Case("groupNames", f"{POOL}.name", "beside", "2 NodePools have the name beside", TWO_POOLS),
    Case("groupRetiring", f"{POOL}.retiring", True, "every NodePool is retiring", KARPENTER),
    Case("groupsAlike", f"{POOL}.taint.value", "yes", "the NodePools have several taints",
         TWO_POOLS),
    Case("nodes", f"{POOL}.maxSize", 5, "need 6 nodes, but 5 are allowed", KARPENTER),
    Case("nodes", f"{POOL}.retiring", True, "need 6 nodes, but 3 are allowed",
         {**TWO_POOLS, f"{POOL}.maxSize": 3, "gpuNodes.nodePools[1].maxSize": 3}),
    Case("nodeFit", f"{POOL}.diskGib", 20, "disk MiB (2048 of 0)", KARPENTER),
    Case("diskSpeed", f"{POOL}.diskThroughputMibps", 1000, "needs 4000 I/O operations", KARPENTER),
    Case("capacityReservation", f"{POOL}.capacityType", "CAPACITY_BLOCK", "does not name its own",
         KARPENTER),
    Case("groupTags", f"{POOL}.tags", {"karpenter.sh/nodepool": "x"},
         "the stack, AWS or Karpenter sets the tag karpenter.sh/nodepool itself", KARPENTER),
    Case("nodeArchitecture", f"{POOL}.amiType", "AL2023_ARM_64_NVIDIA", "the AMI is for arm64",
         KARPENTER),
    Case("gpuTypes", f"{POOL}.instanceTypes", ["g6.12xlarge", "g4ad.16xlarge"], "no NVIDIA GPU",
         {**KARPENTER, f"{POOL}.capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192}}),
    Case("devicePlugin", "devicePlugin.enabled", True, "two would register the same GPUs",
         BOTTLEROCKET),
    Case("spotNode", f"{POOL}.capacityType", "SPOT", "an outage of up to 840 s", KARPENTER),
    Case("podNodes", "inference[0].triton.pods.nodeSelector",
         {"karpenter.sh/capacity-type": "spot"}, "karpenter.sh/capacity-type = on-demand",
         KARPENTER),
    Case("eksPlatform", "platform.clusterName", None, "a NodePool needs a cluster's name",
         KARPENTER),
]  # fmt: skip
