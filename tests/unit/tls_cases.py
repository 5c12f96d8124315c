"""Mutations of the checks on TLS."""

from tests.unit.case import Case

BALANCED = {
    "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
    "inference[0].gateway.endpointLagSeconds": 60,
    "inference[0].gateway.exposure": {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8"],
        "subnetCidrs": ["10.0.0.0/24"],
        "hostName": "inference.example.com",
    },
}
ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
REASON = {"kind": "none", "acceptPlaintext": "the mesh encrypts"}
STAGING = {"tier": "staging", "inference[0].triton.awaitRollout": False}
OWN = {"kind": "secret", "secretName": "gateway-tls"}

CASES = [
    Case("balancerTls", "inference[0].gateway.exposure.certificateArn", ARN,
         "the gateway would refuse", {**BALANCED, "inference[0].gateway.tls": OWN}),
    Case("plaintext", "inference[0].gateway.clientNamespaces", ["orchestrator"],
         "in plain text", {**STAGING, "platform": BALANCED["platform"]}),
    Case("plaintext", "inference[0].gateway.tls.acceptPlaintext", None,
         "no certificate would tell them",
         {**BALANCED, **STAGING, "inference[0].gateway.tls": REASON}),
    Case("plaintext", "tier", "staging", "outside the stack's namespace",
         {**BALANCED, "inference[0].triton.awaitRollout": False}),
    Case("balancerPlaintext", "inference[0].gateway.tls.acceptPlaintext", None,
         "between it and the gateways, and those of pods",
         {**BALANCED, **STAGING, "inference[0].gateway.exposure.certificateArn": ARN,
          "inference[0].gateway.tls": REASON}),
]  # fmt: skip
