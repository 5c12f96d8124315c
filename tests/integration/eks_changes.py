"""Changes to the shipped prod and staging, one of each kind, with the steps that each takes.

The stacks have no claim for models: the shipped models are in S3, and a claim is its owner's.
"""

from typing import Any

from tests.integration.eks_standins import EDGE

HOST_NAME = "inference.example.com"

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup::gpu-nodes"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate::gpu-launch-template"
GATEWAYS = "kubernetes:apps/v1:Deployment::inference-gateway-deployment"
REPLICAS = "kubernetes:apps/v1:Deployment::inference-triton-deployment"
PROMETHEUS = "kubernetes:apps/v1:Deployment::prometheus-deployment"
DEVICE_PLUGIN = "kubernetes:apps/v1:DaemonSet::device-plugin-daemon-set"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget::inference-triton-disruption-budget"
ALERTS = "kubernetes:monitoring.coreos.com/v1:PrometheusRule::pod-monitors-triton-inference-scaler"
_POD_MONITOR = "kubernetes:monitoring.coreos.com/v1:PodMonitor::pod-monitors"
_TAG = "aws:autoscaling/tag:Tag"
_ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

_REGISTRIES = ("docker.io", "nvcr.io", "public.ecr.aws", "quay.io", "registry.k8s.io", "ghcr.io")
PULL_SECRET = "mirror"
IMAGES = {
    "mirrors": {registry: f"mirror.example.com/{registry}" for registry in _REGISTRIES},
    "pullSecrets": [PULL_SECRET],
}
_IN_ZONE_A = {
    "key": "topology.kubernetes.io/zone",
    "operator": "In",
    "values": ["eu-central-1a"],
}
_PREFERRED = {"weight": 1, "preference": {"matchExpressions": [_IN_ZONE_A]}}


def placed(key: str, value: str) -> dict[str, Any]:
    """Options of pods that go to nodes of a label and a taint."""
    return {
        "nodeSelector": {key: value},
        "tolerations": [{"key": key, "value": value, "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_PREFERRED]}
        },
        "priorityClassName": "system-cluster-critical",
        "labels": {"team": "vision"},
        "annotations": {"example.com/owner": "vision"},
    }


PROD: dict[str, Any] = {
    "gpuNodes": {
        "groups": [
            {
                "maxSize": 8,
                "diskGib": 400,
                "diskThroughputMibps": 1000,
                "diskIops": 4000,
                "kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1a2b",
                "capacityReservationId": "cr-0123456789abcdef0",
                "labels": {"team": "vision"},
                "taint": {"value": "yes"},
                "permissionsBoundaryArn": "arn:aws:iam::123456789012:policy/bound",
                "ssm": True,
                "tags": {"cost": "vision"},
            }
        ]
    },
    "gpuSharing": {"kind": "timeSlicing", "slices": 2},
    "images": IMAGES,
    "prometheus": {"podMonitorLabels": {"team": "vision"}},
    "inference": [
        {
            "gateway": {
                "exposure": {"crossZone": False, "hostName": HOST_NAME},
                "clientNamespaces": ["orchestrator", "batch"],
                "pods": placed("pool", EDGE),
            },
            "triton": {
                "modelRepository": {"revision": "r2"},
                # Time slices put five replicas on a node, by its CPU.
                "disruptionBudget": 3,
                "maxSurgePercent": 20,
                "warmSpare": {"replicas": 1},
                "pods": {**placed("team", "vision"), "runtimeClassName": "nvidia"},
            },
        }
    ],
}
"""One change of each kind to prod that its simulated nodes can follow."""

PROD_STEPS = {
    f"{_TAG}::gpu-label-team": "create",
    f"{_TAG}::gpu-resources-ephemeral-storage": "update",
    f"{_TAG}::gpu-resources-nvidia.com-gpu": "update",
    f"{_TAG}::gpu-taint-nvidia.com-gpu": "update",
    LAUNCH_TEMPLATE: "update",
    NODE_GROUP: "update",
    "aws:iam/role:Role::gpu-role": "update",
    f"{_ATTACHMENT}::gpu-AmazonSSMManagedInstanceCore": "create",
    "kubemind:index:WarmSpare::inference-warm-spare": "create",
    # Their limits follow from the surge, too.
    GATEWAYS: "update",
    REPLICAS: "update",
    "kubernetes:apps/v1:Deployment::inference-warm-spare-deployment": "create",
    "kubernetes:cert-manager.io/v1:Certificate::inference-gateway-certificate": "update",
    "kubernetes:core/v1:ConfigMap::inference-gateway-config": "update",
    "kubernetes:core/v1:ConfigMap::inference-gateway-files": "replace",
    "kubernetes:core/v1:Service::inference-gateway-service": "update",
    f"{_POD_MONITOR}-envoy-gateway": "update",
    f"{_POD_MONITOR}-triton-inference-deployment": "update",
    ALERTS: "update",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy::inference-network-gateway": "update",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy::inference-network-warm-spare": "create",
    BUDGET: "update",
    "kubernetes:scheduling.k8s.io/v1:PriorityClass::inference-warm-spare-priority": "create",
}
"""Steps of those changes."""

_POD = "spec.template.spec"
_PLACED = {f"{_POD}.affinity", f"{_POD}.priorityClassName", f"{_POD}.imagePullSecrets"}
_RESERVATION = "capacityReservationSpecification.capacityReservation"

PROD_PATHS = {
    LAUNCH_TEMPLATE: {
        "blockDeviceMappings",
        f"{_RESERVATION}Preference",
        f"{_RESERVATION}Target.capacityReservationId",
        "tagSpecifications",
        "tags.cost",
        # Bottlerocket's device plugin shares the GPUs by the nodes' settings.
        "userData",
    },
    NODE_GROUP: {
        "labels.team",
        "launchTemplate.version",
        "scalingConfig.maxSize",
        "tags.cost",
        "taints",
    },
    GATEWAYS: _PLACED
    | {
        "spec.template.metadata.annotations",
        "spec.template.metadata.labels.team",
        f"{_POD}.containers[0].image",
        f"{_POD}.nodeSelector.pool",
        f"{_POD}.tolerations",
        f"{_POD}.volumes[0].configMap.name",
    },
    REPLICAS: _PLACED
    | {
        "spec.strategy.rollingUpdate.maxSurge",
        'spec.template.metadata.annotations["example.com/owner"]',
        'spec.template.metadata.annotations["kubemind.io/model-revision"]',
        "spec.template.metadata.labels.team",
        f"{_POD}.containers[0].image",
        f"{_POD}.initContainers[0].args[0]",
        f"{_POD}.initContainers[0].env[0].value",
        f"{_POD}.initContainers[0].image",
        f"{_POD}.nodeSelector.team",
        f"{_POD}.runtimeClassName",
        f"{_POD}.tolerations[0].value",
        f"{_POD}.tolerations[1]",
    },
}
"""Properties that those changes reach, of the objects that several of them reach."""

SPOT: dict[str, Any] = {
    "name": "spot",
    "amiType": "BOTTLEROCKET_x86_64_NVIDIA",
    "instanceTypes": ["g6.12xlarge", "g6.24xlarge"],
    "capacityType": "SPOT",
    "minSize": 2,
    "maxSize": 8,
    "diskGib": 400,
    "diskThroughputMibps": 1000,
    "diskIops": 4000,
    "labels": {"team": "vision"},
    "taint": {"value": "yes"},
}
"""A group of spot nodes in place of prod's own."""

_TEMPLATE_TAGS = (
    "label-k8s.amazonaws.com-accelerator",
    "label-kubemind-inference-node-group",
    "label-nvidia.com-gpu.present",
    "label-team",
    "resources-ephemeral-storage",
    "resources-nvidia.com-gpu",
    "taint-nvidia.com-gpu",
)


def group_steps(name: str, operation: str) -> dict[str, str]:
    """Return the steps that create or delete a group with all that belongs to it."""
    policies = ("AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy")
    resources = (
        f"kubemind:index:GpuNodeGroup::{name}",
        f"aws:ec2/launchTemplate:LaunchTemplate::{name}-launch-template",
        f"aws:eks/nodeGroup:NodeGroup::{name}-nodes",
        f"aws:iam/role:Role::{name}-role",
        *(f"{_ATTACHMENT}::{name}-{policy}" for policy in (*policies, "AmazonEKS_CNI_Policy")),
        *(f"{_TAG}::{name}-{tag}" for tag in _TEMPLATE_TAGS),
    )
    return dict.fromkeys(resources, operation)


ADDED = {**group_steps("spot", "create"), BUDGET: "update"}
"""Steps that add the spot nodes, with a budget that lets all replicas of one leave in time."""

RETIRED = {NODE_GROUP: "update", f"{_TAG}::gpu-taint-kubemind-inference-retiring": "create"}
"""Steps that retire prod's own group."""

REMOVED = {
    **group_steps("gpu", "delete"),
    f"{_ATTACHMENT}::gpu-AmazonSSMManagedInstanceCore": "delete",
    f"{_TAG}::gpu-taint-kubemind-inference-retiring": "delete",
}
"""Steps that remove it."""

STAGING: dict[str, Any] = {
    "gpuNodes": {"groups": [{"maxSize": 3}]},
    "gpuSharing": {"kind": "mps", "clients": 2},
    "images": IMAGES,
    "prometheus": {"pods": placed("pool", EDGE)},
}
"""Changes to the parts that prod does not have."""

STAGING_STEPS = {
    NODE_GROUP: "update",
    f"{_TAG}::gpu-resources-nvidia.com-gpu": "update",
    "kubernetes:helm.sh/v3:Release::keda-release": "update",
    "kubernetes:core/v1:ConfigMap::device-plugin-config": "create",
    DEVICE_PLUGIN: "update",
    PROMETHEUS: "update",
    GATEWAYS: "update",
    REPLICAS: "update",
    BUDGET: "update",
}
"""Steps of those changes."""

NEW_VOLUME = {
    "kubernetes:core/v1:PersistentVolumeClaim::prometheus-volume": "create",
    "kubernetes:core/v1:ConfigMap::prometheus-files": "create",
    PROMETHEUS: "create",
}
"""Steps that bring Prometheus back after its claim and its Deployment were deleted."""

IN_PLACE = {
    NODE_GROUP: "replace",
    **{f"{_TAG}::gpu-{tag}": "replace" for tag in _TEMPLATE_TAGS if tag != "label-team"},
    BUDGET: "update",
}
"""Steps that replace staging's group by one of on-demand nodes, in its place."""
