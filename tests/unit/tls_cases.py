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
OWN = {"kind": "secret", "secretName": "gateway-tls"}

CASES = [
    Case("balancerTls", "inference[0].gateway.exposure.certificateArn", ARN,
         "the gateway would refuse", {**BALANCED, "inference[0].gateway.tls": OWN}),
]  # fmt: skip
