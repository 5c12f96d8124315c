"""A mutation for each check of drains, evictions, ends of pods and the load balancer."""

from tests.unit.case import Case
from tests.unit.check_cases import CLUSTER, EKS, GROUP

SPOT = {"gpuNodes.capacityType": "SPOT", "gpuNodes.minSize": 2}
EXPOSURE = "inference[0].gateway.exposure"
BALANCED = {
    "platform": CLUSTER,
    EXPOSURE: {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8"],
        "subnetCidrs": ["10.0.0.0/24"],
    },
    "inference[0].gateway.endpointLagSeconds": 60,
}

QUICK = {**EKS, "inference[0].triton.loadSeconds": 10}
SHUTDOWN = """
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec: {kubelet: {config: {shutdownGracePeriod: 180s}}}
"""

UNWATCHED = {"inference[0].triton.watchdog.enabled": False}
"""Gateways find out by DNS that a replica stops."""

# Two nodes drain at once, and their successors load fast.
FAST = {**EKS, f"{GROUP}.maxUnavailable": 2, f"{GROUP}.nodeStartSeconds": 60,
        "inference[0].triton.loadSeconds": 10}  # fmt: skip

CASES = [
    Case("preStop", "inference[0].triton.preStopSeconds", 1, "for up to 1.5 s"),
    Case("preStop", "inference[0].triton.preStopSeconds", 10, "for up to 32.2 s", UNWATCHED),
    Case("grace", "inference[0].triton.terminationGraceSeconds", 60, "3 s for preStop and 65 s"),
    Case("spot", "inference[0].traffic.maxStreamSeconds", 120, "take 133 s to stop",
         SPOT),
    Case("spot", "inference[0].gateway.dnsTtlSeconds", 60, "may take 134 s",
         SPOT | UNWATCHED),
    Case("spotBudget", "inference[0].triton.disruptionBudget", 3,
         "lets 3 of its replicas leave at once", SPOT),
    Case("spotNode", "gpuNodes.minSize", 1, "an outage of up to 840 s", SPOT),
    Case("evictions", "inference[0].triton.loadSeconds", 300, "in 4 rounds, each after the one",
         {**EKS, "inference[0].autoscaler.minReplicas": 3}),
    Case("evictions", "inference[0].triton.loadSeconds", 300, "973 s, so the update fails", EKS),
    Case("evictions", f"{GROUP}.maxUnavailable", 4, "in 16 rounds", EKS),
    Case("coldEvictions", "inference[0].triton.loadSeconds", 100, "for up to 600 s: 973 s", EKS),
    Case("coldEvictions", f"{GROUP}.updateStrategy", "MINIMAL",
         "on new nodes, which start within 180 s and pull Triton's image for up to 600 s: 1033 s",
         EKS),
    Case("minimalUpdate", f"{GROUP}.updateStrategy", "MINIMAL", "8 replicas have left", FAST),
    Case("minimalUpdate", f"{GROUP}.maxUnavailable", 2, "lets 1 leave at once",
         {**FAST, f"{GROUP}.maxUnavailable": 1, f"{GROUP}.updateStrategy": "MINIMAL"}),
    Case("eksUpdate", "inference[0].traffic.maxStreamSeconds", 1000, "EKS gives pods 900 s", EKS),
    Case("eksUpdate", "inference[0].gateway.endpointLagSeconds", 860, "a gateway 930 s", EKS),
    Case("nodeShutdown", "inference[0].traffic.maxStreamSeconds", 120,
         "ends its pods after 120 s, but a replica may take 133 s to stop", QUICK),
    Case("nodeShutdown", f"{GROUP}.userData", "#!/bin/sh", "may take 133 s to stop",
         {**QUICK, "inference[0].traffic.maxStreamSeconds": 120, f"{GROUP}.userData": SHUTDOWN}),
    Case("nodeShutdown", f"{GROUP}.amiType", "AL2023_x86_64_NVIDIA", "may take 133 s to stop",
         {**QUICK, "inference[0].traffic.maxStreamSeconds": 120,
          f"{GROUP}.amiType": "BOTTLEROCKET_x86_64_NVIDIA"}),
    Case("balancerLag", "inference[0].gateway.endpointLagSeconds", 5,
         "deregisters a target", BALANCED),
    Case("balancerLag", "inference[0].gateway.endpointLagSeconds", 5,
         "no connection within 75 s of failed health checks", BALANCED),
    Case("balancerAddresses", f"{EXPOSURE}.sourceCidrs", ["10.0.0.0/8", "fd00:1::/32"],
         "its controller refuses the whole Service", BALANCED),
    Case("balancerAddresses", f"{EXPOSURE}.subnetCidrs", ["fd00:1::/64"],
         "no health check comes from there", BALANCED),
]  # fmt: skip
