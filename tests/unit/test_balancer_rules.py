"""The load balancer's annotations hold what ELBv2's own service model, which botocore ships, has.

Not shown: that AWS acts on them, and that the Load Balancer Controller hands them on.
"""

from typing import Any

import pytest
from botocore.loaders import Loader

from components.gateway.balancer import balancer_annotations
from config.sections.gateway import InternalLoadBalancer
from config.sections.inference import InferenceStack

SHAPES: dict[str, Any] = Loader().load_service_model("elbv2", "service-2")["shapes"]
EXPOSURE = {
    "kind": "internalLoadBalancer",
    "sourceCidrs": ["10.0.0.0/8"],
    "subnetCidrs": ["10.0.0.0/24"],
}
PREFIX = "service.beta.kubernetes.io/aws-load-balancer-"


def annotations(**gateway: Any) -> dict[str, str]:
    stack = InferenceStack.model_validate({"gateway": {"exposure": EXPOSURE, **gateway}})
    exposure = stack.gateway.exposure
    assert isinstance(exposure, InternalLoadBalancer)
    return balancer_annotations(stack, exposure)


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        ("target-group-attributes", "TargetGroupAttribute"),
        ("attributes", "LoadBalancerAttribute"),
    ],
)
def test_each_attribute_is_one_of_elbs(annotation: str, shape: str):
    documented = SHAPES[shape]["members"]["Key"]["documentation"]
    for pair in annotations()[PREFIX + annotation].split(","):
        assert f"<code>{pair.partition('=')[0]}</code>" in documented, pair


@pytest.mark.parametrize(
    ("annotation", "member"),
    [
        ("interval", "HealthCheckIntervalSeconds"),
        ("timeout", "HealthCheckTimeoutSeconds"),
        ("healthy-threshold", "HealthyThresholdCount"),
        ("unhealthy-threshold", "UnhealthyThresholdCount"),
    ],
)
def test_each_number_of_a_health_check_is_in_elbs_range(annotation: str, member: str):
    shape = SHAPES[SHAPES["CreateTargetGroupInput"]["members"][member]["shape"]]
    value = int(annotations()[f"{PREFIX}healthcheck-{annotation}"])
    assert shape["min"] <= value <= shape["max"]


def test_a_certificate_makes_a_tls_listener_of_the_gateways_port():
    """The policy's name and the ALPN policy are ELBv2's own; its model lists the latter."""
    certificate = "arn:aws-cn:acm:cn-north-1:123456789012:certificate/" + "0" * 36
    tls = annotations(
        port=8443,
        exposure={**EXPOSURE, "hostName": "a.example.com", "certificateArn": certificate},
    )
    assert tls[f"{PREFIX}ssl-cert"] == certificate
    assert tls[f"{PREFIX}ssl-ports"] == "8443"
    assert (
        f"<code>{tls[f'{PREFIX}alpn-policy']}</code>"
        in (SHAPES["CreateListenerInput"]["members"]["AlpnPolicy"]["documentation"])
    )
    assert "TLS13-1-2" in tls[f"{PREFIX}ssl-negotiation-policy"]
    assert not [key for key in annotations() if "ssl" in key or "alpn" in key]


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:iam::123456789012:server-certificate/a", "certificate", "arn:aws:acm:eu-west-1:1:x"],
)
def test_a_certificate_of_another_service_is_refused(arn):
    with pytest.raises(ValueError, match="certificateArn"):
        annotations(exposure={**EXPOSURE, "certificateArn": arn})


@pytest.mark.parametrize(
    "name", ["inference", "inference.example.com.", "a..b", "*.example.com", f"{'a' * 64}.com"]
)
def test_a_name_that_dns_cannot_have_is_refused(name):
    with pytest.raises(ValueError, match="must be a DNS name such as"):
        annotations(exposure={**EXPOSURE, "hostName": name})
