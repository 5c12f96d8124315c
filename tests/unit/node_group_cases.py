"""A mutation for each check of the list of node groups."""

from tests.unit.case import Case
from tests.unit.check_cases import EKS, GROUP

BESIDE = "gpuNodes.groups[1]"
TWO_GROUPS = {**EKS, "gpuNodes": {"kind": "eksNodeGroups", "groups": [{}, {"name": "beside"}]}}
BOTTLEROCKET = {**EKS, f"{GROUP}.amiType": "BOTTLEROCKET_x86_64_NVIDIA"}
ARM = {
    **EKS,
    f"{GROUP}.amiType": "AL2023_ARM_64_NVIDIA",
    f"{GROUP}.instanceTypes": ["g5g.16xlarge"],
    f"{GROUP}.maxSize": 11,
}

CASES = [
    Case("groupNames", f"{BESIDE}.name", "gpu", "2 node groups have the name gpu", TWO_GROUPS),
    Case("groupRetiring", f"{BESIDE}.retiring", True, "every node group is retiring",
         {**TWO_GROUPS, f"{GROUP}.retiring": True}),
    Case("groupsAlike", f"{BESIDE}.taint.value", "yes", "gpuNodes.groups[1]: nvidia.com/gpu=yes:",
         TWO_GROUPS),
    Case("groupsAlike", f"{BESIDE}.amiType", "BOTTLEROCKET_x86_64_NVIDIA",
         "several device plugins (gpuNodes.groups[0]: this stack's, gpuNodes.groups[1]: its own)",
         TWO_GROUPS),
    Case("nodes", f"{GROUP}.retiring", True, "need 6 nodes, but 3 are allowed",
         {**TWO_GROUPS, f"{GROUP}.maxSize": 3, f"{BESIDE}.maxSize": 3}),
    Case("nodes", f"{BESIDE}.maxSize", 2, "4 per node of gpuNodes.groups[1]",
         {**TWO_GROUPS, f"{GROUP}.maxSize": 3, f"{BESIDE}.maxSize": 3}),
    Case("nodeFit", f"{BESIDE}.diskGib", 20, "disk MiB (2048 of 0)", TWO_GROUPS),
    Case("coldStart", f"{BESIDE}.minSize", 0, "min replicas need 2 node(s), but 1 are kept",
         {**TWO_GROUPS, f"{GROUP}.minSize": 1, f"{BESIDE}.minSize": 1,
          "inference[0].autoscaler.minReplicas": 8}),
    Case("nodeFit", "inference[0].triton.pods.nodeSelector",
         {"kubemind-inference/node-group": "gpu"}, "rules out all nodes here", TWO_GROUPS),
    Case("diskSpeed", f"{GROUP}.diskThroughputMibps", 1000, "needs 4000 I/O operations", EKS),
    Case("diskSpeed", f"{GROUP}.diskIops", 60000, "of 100 GiB has 50000 I/O operations",
         {**EKS, f"{GROUP}.diskGib": 100}),
    Case("localDisks", f"{GROUP}.localDisks", "raid0", "a node has no local NVMe disk", ARM),
    Case("localDisks", f"{GROUP}.capacity.localDiskGb", 0, "a node has no local NVMe disk",
         {**EKS, f"{GROUP}.localDisks": "raid0",
          f"{GROUP}.capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192, "localDiskGb": 3760}}),
    Case("nodeFit", f"{GROUP}.capacity",
         {"gpus": 4, "cpu": 48, "memoryGib": 192, "localDiskGb": 8}, "disk MiB (2048 of 0)",
         {**EKS, f"{GROUP}.localDisks": "raid0",
          f"{GROUP}.capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192, "localDiskGb": 3760}}),
    Case("nodeUserData", f"{GROUP}.userData", "echo", "neither a script", EKS),
    Case("nodeUserData", f"{GROUP}.userData", "MIME-Version: 1.0\n\n--//", "neither a script", EKS),
    Case("nodeUserData", f"{GROUP}.userData", "#!" + 8150 * "é", "and EC2 takes 16384", EKS),
    Case("nodeUserData", f"{GROUP}.userData", "echo it", "takes TOML alone", BOTTLEROCKET),
    Case("nodeUserData", f"{GROUP}.userData", "[kubernetes]\na = 1", "[settings.…] alone",
         BOTTLEROCKET),
    Case("nodeUserData", f"{GROUP}.userData",
         '[settings.container-runtime]\nsnapshotter = "overlayfs"', "takes each table once",
         {**BOTTLEROCKET, f"{GROUP}.fastImagePull": True}),
    Case("capacityReservation", f"{GROUP}.capacityReservationId", None, "does not name its own",
         {**EKS, f"{GROUP}.capacityType": "CAPACITY_BLOCK",
          f"{GROUP}.capacityReservationId": "cr-02168da1478b509e0"}),
    Case("capacityReservation", f"{GROUP}.instanceTypes", ["g6.12xlarge", "g6.24xlarge"],
         "instances of one type",
         {**EKS, f"{GROUP}.capacityType": "CAPACITY_BLOCK",
          f"{GROUP}.capacityReservationId": "cr-02168da1478b509e0"}),
    Case("capacityReservation", f"{GROUP}.capacityReservationId", "cr-02168da1478b509e0",
         "EC2 refuses to start them",
         {**EKS, f"{GROUP}.capacityType": "SPOT", f"{GROUP}.minSize": 2}),
    Case("groupTags", f"{GROUP}.tags", {"stack": "mine", "team": "vision"},
         "the stack or AWS sets the tag stack itself", EKS),
    Case("groupTags", f"{GROUP}.tags", {"AWS:a": ""}, "sets the tag AWS:a itself", EKS),
]  # fmt: skip
