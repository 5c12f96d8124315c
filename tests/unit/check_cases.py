"""A mutation for each check: the changed parameter, and words of the message that it causes."""

from tests.unit.case import Case
from tests.unit.prometheus_cases import PROMETHEUS_CASES
from tests.unit.sharing_cases import SHARING_CASES

DIGEST = "@sha256:" + "0" * 64

IN_FLIGHT = {"inference[0].autoscaler.signal": {"kind": "inFlight"}}
CLUSTER = {"kind": "kubeconfig", "path": "kubeconfig"}
GROUP = "gpuNodes.groups[0]"
EKS = {
    "platform": {**CLUSTER, "clusterName": "inference", "subnetIds": ["subnet-1"]},
    "gpuNodes": {"kind": "eksNodeGroups", "groups": [{}]},
}
DIGESTS = {
    "devicePlugin.image": f"plugin:1{DIGEST}",
    "prometheus.image": f"prometheus:1{DIGEST}",
    "inference[0].triton.image": f"triton:1{DIGEST}",
    "inference[0].gateway.image": f"envoy:1{DIGEST}",
}
PROD = {
    "platform": CLUSTER,
    "tier": "prod",
    "inference[0].triton.awaitRollout": False,
    **DIGESTS,
}
TWO_STACKS = {
    "inference": [{"namePrefix": "a-", "namespace": "a"}, {"namePrefix": "b-", "namespace": "b"}],
    "gpuNodes.maxSize": 11,
}
TWO_BALANCED = {
    "platform": CLUSTER,
    "inference": [
        {
            "namePrefix": f"{letter}-",
            "namespace": letter,
            "gateway": {
                "exposure": {
                    "kind": "internalLoadBalancer",
                    "sourceCidrs": ["10.0.0.0/8"],
                    "subnetCidrs": ["10.0.0.0/24"],
                    "hostName": f"{letter}.example.com",
                },
                "endpointLagSeconds": 60,
            },
        }
        for letter in "ab"
    ],
    "gpuNodes.maxSize": 11,
}
CERTIFICATE = "0a1b2c3d-0000-1111-2222-333344445555"
ROOM_FOR_MESSAGES = {"inference[0].gateway.memoryMib": 16384}
TWO_SHAPES = {
    "inference": [
        {"autoscaler": {"minReplicas": 1, "maxReplicas": 3}},
        {
            "namePrefix": "b-",
            "namespace": "b",
            "triton": {"gpus": 4},
            "autoscaler": {"minReplicas": 1, "maxReplicas": 1},
        },
    ],
    "gpuNodes.minSize": 2,
    "gpuNodes.maxSize": 9,
}
ONE_REQUEST = {
    "inference[0].triton.watchdog.requests": [
        {"model": "a", "inputs": [{"name": "x", "datatype": "FP32"}]}
    ]
}
ON_CPU = {"inference[0].triton.gpus": 0, "platform.cpuNodes": 8}
S3 = {"kind": "s3", "uri": "s3://bucket-of-models/prefix"}
FROM_S3 = {
    "platform": {**CLUSTER, "clusterName": "inference"},
    "inference[0].triton.modelRepository": S3,
}
PROD_FROM_S3 = {
    **PROD,
    **FROM_S3,
    "inference[0].triton.modelRepository": {
        **S3,
        "revision": "r1",
        "syncImage": f"aws-cli:2{DIGEST}",
    },
}


CASES = [
    Case("reach", "inference[0].autoscaler.threshold", 40, "above 40 x 2 x 1.1 = 88", IN_FLIGHT),
    Case("reach", "inference[0].gateway.maxConcurrentStreams", 20, "at most 20 calls", IN_FLIGHT),
    Case("reachPlacement", "inference[0].autoscaler.threshold", 40, "if all land on one, 2",
         {**IN_FLIGHT, "inference[0].traffic.clientConnections": 2}),
    Case("reachRefusals", "inference[0].autoscaler.threshold", 40, "more than 285 calls/s"),
    Case("clientStreams", "inference[0].gateway.maxConcurrentStreams", 20, "it never refuses"),
    Case("survival", "inference[0].gateway.inFlight.maxPendingRequests", 60, "take 2.48 s"),
    Case("instanceTypes", "gpuNodes.instanceTypes", ["x1.large"], "capacity of x1.large"),
    Case("nodeLabels", f"{GROUP}.labels", {"node-role.kubernetes.io/gpu": "true"},
         "kubernetes.io/ is reserved", EKS),
    Case("nodeLabels", f"{GROUP}.labels", {"scheduling.k8s.io/x": "y", "team": "vision"},
         "k8s.io/ is reserved", EKS),
    Case("nodeLabels", f"{GROUP}.labels", {"eks.amazonaws.com/nodegroup": "gpu"},
         "eks.amazonaws.com/ is reserved", EKS),
    Case("nodeLabels", f"{GROUP}.labels", {"example.com/team": ""}, "value is empty", EKS),
    Case("nodeLabels", f"{GROUP}.labels", {"example.com/" + "a" * 52: "b"},
         "64 characters with its prefix", EKS),
    Case("nodeTaint", f"{GROUP}.taint.key", "example.com/" + "a" * 52, "this one has 64", EKS),
    Case("nodeUpdate", f"{GROUP}.maxUnavailable", 7, "more nodes unavailable than",
         {**EKS, "inference[0].triton.loadSeconds": 10}),
    Case("instanceCount", f"{GROUP}.instanceTypes", ["g6.12xlarge"] * 21, "21 are set", EKS),
    Case("nodeArchitecture", f"{GROUP}.instanceTypes", ["g5g.16xlarge"],
         "the AMI is for amd64", {**EKS, f"{GROUP}.maxSize": 12,
         "inference[0].autoscaler.minReplicas": 1}),
    Case("nodeArchitecture", f"{GROUP}.amiType", "AL2023_ARM_64_NVIDIA", "g6.12xlarge: amd64", EKS),
    Case("nodeArchitecture", f"{GROUP}.amiType", "BOTTLEROCKET_ARM_64_NVIDIA_FIPS",
         "the AMI is for arm64", EKS),
    Case("gpuTypes", f"{GROUP}.instanceTypes", ["m7i.12xlarge"], "m7i.12xlarge has no NVIDIA GPU",
         {**EKS, f"{GROUP}.capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192}}),
    Case("gpuTypes", f"{GROUP}.instanceTypes", ["g4ad.16xlarge"], "never advertise a GPU",
         {**EKS, f"{GROUP}.capacity": {"gpus": 4, "cpu": 48, "memoryGib": 192}}),
    Case("tritonArchitecture", "inference[0].triton.architecture", "arm64",
         "the GPU nodes are amd64", EKS),
    Case("gpuGenerations", "gpuNodes.instanceTypes", ["g6.12xlarge", "g5.12xlarge"],
         "g6.12xlarge: L4 (compute capability 8.9), g5.12xlarge: A10G (compute capability 8.6)"),
    Case("gpuGenerations", "gpuNodes.instanceTypes",
         ["g4dn.metal", "g6.48xlarge", "p5.48xlarge"], "H100 (compute capability 9.0)"),
    Case("nodeBounds", "gpuNodes.minSize", 7, "minimum number of nodes"),
    Case("replicaBounds", "inference[0].autoscaler.minReplicas", 4, "minimum number of replicas",
         {"inference[0].autoscaler.maxReplicas": 3}),
    Case("nodeFit", "inference[0].triton.gpus", 8, "GPUs (8 of 4)"),
    Case("nodeFit", "inference[0].triton.memoryMib", 204800, "memory MiB (204800 of 178933)"),
    Case("nodeFit", "inference[0].triton.cpu", 48, "CPU (48 of 47.39)"),
    Case("nodeFit", "gpuNodes.diskGib", 20, "disk MiB (22528 of 0); its image",
         FROM_S3),
    Case("nodeFit", "gpuNodes.diskGib", 20, "disk MiB (2048 of 0); its image takes 18"),
    Case("nodeFit", "inference[0].triton.imageGib", 180, "takes 180 GiB of the disk, and others 2"),
    Case("nodes", "inference[0].triton.image",
         "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3", "1 by disk",
         {"gpuNodes.diskGib": 52, "gpuNodes.minSize": 2}),
    Case("nodes", "gpuNodes.maxSize", 5, "need 6 nodes, but 5 are allowed"),
    Case("nodes", "inference[0].triton.warmSpare.replicas", 4, "surge and spares, 25 of triton"),
    Case("nodes", "inference[0].triton.cpu", 16, "2 per node: 4 by GPUs, 2 by CPU"),
    Case("nodes", "inference[0].triton.memoryMib", 89000, "2 by memory"),
    Case("nodes", "inference[0].triton.modelRepository.cacheGib", 60, "2 by disk", FROM_S3),
    Case("nodes", "inference[1].autoscaler.maxReplicas", 30, "need 13 nodes", TWO_STACKS),
    Case("coldStart", "gpuNodes.minSize", 0, "image and 60 s for the models = 840 s"),
    Case("coldStart", "gpuNodes.minSize", 0, "180 s for the node, up to 600 s for", FROM_S3),
    Case("coldStart", "gpuNodes.minSize", 0, "264.8 s for the models = 1044.8 s", FROM_S3),
    Case("strandedGpus", "gpuNodes.maxSize", 6, "free on each of 8 nodes", TWO_SHAPES),
    Case("serviceTime", "inference[0].traffic.deadlineSeconds", 0.9, "works 1 s on one call",
         {"inference[0].traffic.serviceTimeSeconds": 1, "inference[0].traffic.parallelism": 64}),
    Case("deadReplica", "inference[0].gateway.healthChecks.intervalSeconds", 300,
         "gets calls for 1204 s"),
    Case("deadReplica", "inference[0].gateway.healthChecks.unhealthyThreshold", 100,
         "100 checks, each 0.5 s after the last"),
    Case("startupBudget", "inference[0].triton.startupBudgetSeconds", 30, "60 s to load"),
    Case("scrapeInterval", "prometheus.scrapeIntervalSeconds", 20, "20 s apart"),
    Case("rateWindow", "inference[0].autoscaler.signal.rateWindowSeconds", 10, "holds 2 scrapes"),
    Case("refusedWeight", "inference[0].autoscaler.signal.refusedSeconds", 0.01, "counts 0.01 s"),
    Case("streamLength", "inference[0].traffic.maxStreamSeconds", 1, "ends a stream after 1 s"),
    Case("connectionAge", "inference[0].gateway.maxConnectionSeconds", 30,
         "after 30 s, but a call on it may take 60 s"),
    Case("streamIdle", "inference[0].traffic.streamIdleSeconds", 1, "after 1 s of silence"),
    Case("gatewayMemory", "inference[0].gateway.streamWindowKib", 1024, "688 streams x 1024 KiB"),
    Case("gatewayMemory", "inference[0].gateway.memoryMib", 128, "75% of 128 MiB"),
    Case("gatewayCalls", "inference[0].autoscaler.maxReplicas", 2000, "Envoy holds no more",
         {"inference[0].traffic.serviceTimeSeconds": 0.001,
          "inference[0].gateway.inFlight": {"kind": "fleet", "streamsPerPod": 640},
          "inference[0].gateway.memoryMib": 400_000, "inference[0].triton.queueSize": 2000,
          "inference[0].triton.gpus": 0, "inference[0].triton.cpu": 0.01,
          "inference[0].triton.memoryMib": 256, "inference[0].triton.shmMib": 8,
          "inference[0].traffic.maxRequestKib": 1, "inference[0].traffic.maxResponseKib": 1,
          "platform": {"kind": "local", "cpuNodes": 100, "cpuNodeDiskGib": 65536,
                       "cpuNodeMemoryGib": 1024}}),
    Case("messageSizes", "inference[0].traffic.requestKib", 5000,
         "5000 KiB on average exceed the largest one, 4096 KiB", ROOM_FOR_MESSAGES),
    Case("messageSizes", "inference[0].traffic.responseKib", 5000, "the largest one, 4096 KiB",
         ROOM_FOR_MESSAGES),
    Case("gatewayMemory", "inference[0].traffic.requestKib", 1024, "688 streams x 1024 KiB"),
    Case("tritonQueue", "inference[0].triton.queueSize", 32, "may send 64 calls to one replica"),
    Case("sharedMemory", "inference[0].triton.shmMib", 8192,
         "is 8580 MiB, of 8192: the kernel would kill the replica"),
    Case("sharedMemory", "inference[0].triton.memoryMib", 1400, "with 128 MiB for the server"),
    Case("largestCalls", "inference[0].traffic.maxRequestKib", 16384, "need 1029 MiB of shared"),
    Case("largestCalls", "inference[0].traffic.maxResponseKib", 1048576, "answered at once x"),
    Case("largestCalls", "inference[0].triton.shmMib", 260, "64 calls active or queued"),
    Case("watchdogPatience", "inference[0].triton.watchdog.patienceSeconds", 1.5,
         "may take 2 s for one answer, but would be restarted after 1.5 s"),
    Case("watchdogRequests", "inference[0].triton.watchdog.requests[0].inputs[0].data", [0, 0],
         "holds 1 values, but 2 are given", ONE_REQUEST),
    Case("watchdogRequests", "inference[0].triton.watchdog.skippedModels", ["a"],
         "named 2 times", ONE_REQUEST),
    Case("watchdogOff", "inference[0].triton.watchdog.enabled", False, "stays ready when", PROD),
    Case("nameLength", "inference[0].namePrefix", "a" * 39 + "-", "(63, at most 54)"),
    Case("namePrefixes", "inference[1].namePrefix", "a-", "names in Pulumi's state", TWO_STACKS),
    Case("namespaces", "prometheus.namespace", "ai-namespace", "ai-namespace would be shared"),
    Case("namespaces", "devicePlugin.namespace", "ai-namespace", "pod security"),
    Case("namespaces", "keda.namespace", "ai-namespace", "network policies"),
    Case("namespaces", "prometheus.namespace", "keda", "keda would be shared"),
    Case("hostNames", "inference[1].gateway.exposure.hostName", "a.example.com",
         "lead to several load balancers", TWO_BALANCED),
    Case("certificateName", "inference[0].gateway.exposure.hostName", None,
         "no certificate has it", {**TWO_BALANCED, "inference[0].gateway.exposure.certificateArn":
         "arn:aws-us-gov:acm:us-gov-west-1:123456789012:certificate/" + CERTIFICATE}),
    Case("gatewayNodes", "inference[0].gateway.separateNodes", True,
         "the second gateway would never be scheduled", {"platform.cpuNodes": 1}),
    Case("ownNamespaces", "inference[0].namespace", "default", "belongs to the cluster"),
    Case("ownNamespaces", "devicePlugin.namespace", "kube-system", "belongs to the cluster"),
    Case("privilegedPorts", "inference[0].gateway.opsPort", 90, "below 1024"),
    Case("privilegedPorts", "inference[0].gateway.port", 443, "crash at every start"),
    Case("privilegedPorts", "inference[0].gateway.adminPort", 1023, "does not run as root"),
    Case("privilegedPorts", "inference[0].triton.grpcPort", 80, "below 1024"),
    Case("privilegedPorts", "inference[0].triton.httpPort", 80, "below 1024"),
    Case("privilegedPorts", "inference[0].triton.metricsPort", 80, "below 1024"),
    Case("privilegedPorts", "prometheus.port", 80, "below 1024"),
    Case("ports", "inference[0].gateway.opsPort", 8080, "must differ"),
    Case("ports", "inference[0].triton.metricsPort", 8000, "must differ"),
    Case("ports", "inference[0].triton.watchdog.port", 8001, "must differ"),
    Case("ports", "inference[0].triton.servicePort", 8002, "of one Service must differ"),
    Case("eksPlatform", "gpuNodes.kind", "eksNodeGroups", "not on EKS"),
    Case("eksPlatform", "platform.subnetIds", [], "name and subnets", EKS),
    Case("eksPlatform", "platform.clusterName", None, "name and subnets", EKS),
    Case("kedaVersion", "keda.chartVersion", "v2.16.1", "KEDA before 2.17 drops",
         {"keda": {"kind": "helm"}}),
    Case("localTier", "tier", "prod", "is for development",
         {**DIGESTS, "inference[0].triton.awaitRollout": False}),
    Case("loadBalancer", "inference[0].gateway.exposure.kind", "internalLoadBalancer",
         "creates no load balancers",
         {"inference[0].gateway.endpointLagSeconds": 60}),
    Case("localNodes", "platform.cpuNodeCpu", 1, "3.5 vCPUs"),
    Case("localNodes", "platform.cpuNodeMemoryGib", 1, "2.5 GiB"),
    Case("localNodes", "platform.cpuNodeDiskGib", 4, "4.25 GiB of disk of 8 vCPUs, 32 GiB and 4"),
    Case("localNodes", "inference[0].gateway.cpu", 9,
         "9 vCPUs, 0.5 GiB and 0.0625 GiB of disk of 8 vCPUs, 32 GiB and 100 GiB"),
    Case("localNodes", "inference[0].gateway.cpu", 5,
         "15.5 vCPUs, 2.5 GiB and 4.4375 GiB of disk; as no pod can span nodes, that is 3"),
    Case("localNodes", "prometheus.memoryMib", 32769, "Prometheus does not fit"),
    Case("localNodes", "inference[0].triton.cpu", 9, "a replica without GPUs does not fit", ON_CPU),
    Case("devicePlugin", "devicePlugin.enabled", True, "register the same GPUs",
         {"gpuNodes.amiType": "BOTTLEROCKET_x86_64_NVIDIA"}),
    *SHARING_CASES,
    Case("modelIdentity", "inference[0].triton.modelRepository.identity", "irsa",
         "trusts the cluster's OIDC provider", FROM_S3),
    Case("modelIdentity", "platform.clusterName", None, "the cluster's name", FROM_S3),
    Case("rolloutSession", "inference[0].triton.awaitRollout", True, "`up` waits up to",
         {"platform": CLUSTER, "tier": "staging", "inference[0].triton.awaitRollout": False,
          "inference[0].triton.loadSeconds": 600}),
    Case("surge", "inference[0].triton.maxSurge", 2, "one maxSurge",
         {"inference[0].triton.maxSurgePercent": 5}),
    Case("modelRevision", "inference[0].triton.modelRepository.revision", None,
         "replicas of one fleet serve different models", PROD_FROM_S3),
    Case("modelIdentity", "inference[0].triton.modelRepository.kind", "s3",
         "does not know the embedded cluster"),
    Case("localImages", "inference[0].triton.image", "kubemind.local/triton-cpu:2.51",
         "in no registry", {"platform": CLUSTER}),
    Case("localImages", "prometheus.image", "kubemind.local/prometheus:3.13.0",
         "no other cluster can pull them", {"platform": CLUSTER}),
    Case("envoyVersion", "inference[0].gateway.image", "envoyproxy/envoy:v1.39.2",
         "Envoy 1.40 validates the gateway's bootstrap, but Envoy 1.39 runs it"),
    Case("envoyVersion", "inference[0].gateway.image",
         f"mirror:5000/envoy:distroless-v1.41.0{DIGEST}", "but Envoy 1.41 runs it"),
    Case("imageTags", "inference[0].gateway.image", "docker.io/envoyproxy/envoy:latest",
         "at the next restart", PROD),
    Case("imageTags", "inference[0].triton.image", "nvcr.io/nvidia/tritonserver",
         "at the next restart", PROD),
    Case("imageDigests", "prometheus.image", "prometheus:v3.13.0", "can be moved", PROD),
    Case("gateways", "inference[0].gateway.replicas", 1, "every crash", PROD),
    *PROMETHEUS_CASES,
]  # fmt: skip

WHOLE_SECTION = {
    "inference[0].gateway.exposure.kind": {
        "inference[0].gateway.exposure": {
            "kind": "internalLoadBalancer",
            "sourceCidrs": ["10.0.0.0/8"],
            "subnetCidrs": ["10.0.0.0/24"],
        }
    },
    "gpuNodes.kind": {"gpuNodes": {"kind": "eksNodeGroups"}},
    "gpuSharing.kind": {"gpuSharing": {"kind": "mps", "clients": 2}},
    "platform.kind": {"platform": {"kind": "local"}},
    "inference[0].autoscaler.signal.kind": IN_FLIGHT,
    "inference[0].gateway.inFlight.kind": {
        "inference[0].gateway.inFlight": {"kind": "static", "maxRequests": 340}
    },
    "inference[0].triton.modelRepository.kind": {"inference[0].triton.modelRepository": S3},
}
"""A kind brings its section with it: it cannot change alone."""
