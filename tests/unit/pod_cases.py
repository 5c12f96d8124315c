"""A mutation for each check of the pods' options: the changed parameter, and its message."""

from tests.unit.case import Case
from tests.unit.check_cases import CLUSTER, EKS, GROUP

_TYPES = {**EKS, f"{GROUP}.instanceTypes": ["g6.12xlarge", "g6.48xlarge"]}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_SMALL = {
    "nodeAffinity": {
        _REQUIRED: {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {
                            "key": "node.kubernetes.io/instance-type",
                            "operator": "In",
                            "values": ["g6.xlarge"],
                        }
                    ]
                }
            ]
        }
    }
}
_GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists"}

CASES = [
    Case("podMetadata", "inference[0].triton.pods.labels", {"app.kubernetes.io/name": "x"},
         "sets the label app.kubernetes.io/name itself"),
    Case("podMetadata", "inference[0].gateway.pods.labels", {"kubemind-inference/identity": "x"},
         "label kubemind-inference/identity"),
    Case("podMetadata", "prometheus.pods.labels", {"team": "a", "pod-template-hash": "x"},
         "label pod-template-hash itself"),
    Case("podMetadata", "inference[0].gateway.pods.annotations", {"prometheus.io/port": "1"},
         "annotation prometheus.io/port"),
    Case("podMetadata", "inference[0].triton.pods.annotations",
         {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "x"},
         "safe-to-evict-local-volumes itself"),
    Case("podNodeSelector", "inference[0].gateway.pods.nodeSelector",
         {"kubernetes.io/arch": "arm64"}, "from inference[0].gateway.architecture", EKS),
    Case("podNodeSelector", "inference[0].triton.pods.nodeSelector",
         {"nvidia.com/gpu.present": "true"}, "nvidia.com/gpu.present itself"),
    Case("podNodeSelector", "prometheus.pods.nodeSelector", {"kubernetes.io/os": "windows"},
         "kubernetes.io/os itself"),
    Case("podNodes", "inference[0].triton.pods.nodeSelector", {"team": "text"},
         "the GPU nodes have team = vision, not text",
         {**EKS, f"{GROUP}.labels": {"team": "vision"}}),
    Case("podNodes", "inference[0].triton.pods.nodeSelector",
         {"node.kubernetes.io/instance-type": "g6.xlarge"}, "g6.12xlarge or g6.48xlarge", _TYPES),
    Case("podNodes", "inference[0].triton.pods.affinity", _SMALL, "required node affinity", _TYPES),
    Case("podNodes", "inference[0].gateway.pods.nodeSelector", {"team": "vision"},
         "nodes without GPUs of the embedded cluster have no label team"),
    Case("podUnknownLabels", "inference[0].triton.pods.nodeSelector", {"team": "vision"},
         "have the label team", EKS),
    Case("podTolerations", "inference[0].gateway.pods.tolerations", [_GPU_TAINT],
         "keeps every pod without GPUs off"),
    Case("podTolerations", "prometheus.pods.tolerations", [{"operator": "Exists"}],
         "tolerates the GPU nodes' taint"),
    Case("podTolerations", "inference[0].triton.pods.tolerations",
         [{"key": "nvidia.com/gpu", "value": "false"}], "contradicts the GPU nodes' taint"),
    Case("nodeFit", "inference[0].triton.scratchMib", 200_000, "disk MiB (201024 of"),
    Case("nodeFit", "inference[0].triton.pods.nodeSelector",
         {"node.kubernetes.io/instance-type": "g6.12xlarge"}, "GPUs (8 of 4)",
         {**_TYPES, "inference[0].triton.gpus": 8, "inference[0].autoscaler.maxReplicas": 3,
          f"{GROUP}.minSize": 2,
          "inference[0].triton.pods.nodeSelector": {
              "node.kubernetes.io/instance-type": "g6.48xlarge"}}),
    Case("imageMirrors", "images.mirrors", {"docker.io": "mirror.example.com/hub"},
         "pulls these images from nvcr.io, quay.io, which has no mirror"),
    Case("imageMirrors", "images.mirrors",
         dict.fromkeys(("docker.io", "nvcr.io", "quay.io"), "mirror.example.com/all"),
         "pulls these images from ghcr.io", {"keda": {"kind": "helm"}}),
    Case("clusterDomain", "inference[0].clusterDomain", "example.org", "domain is cluster.local"),
    Case("clusterDomain", "prometheus.clusterDomain", "example.org", "no name in another domain"),
    Case("clusterDomain", "inference[0].clusterDomain", "example.net", "domain is example.org",
         {"platform": {**CLUSTER, "clusterDomain": "example.org"}}),
]  # fmt: skip
