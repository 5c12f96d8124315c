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


@pytest.mark.parametrize(
    "name", ["inference", "inference.example.com.", "a..b", "*.example.com", f"{'a' * 64}.com"]
)
def test_a_name_that_dns_cannot_have_is_refused(name):
    with pytest.raises(ValueError, match="must be a DNS name such as"):
        annotations(exposure={**EXPOSURE, "hostName": name})
