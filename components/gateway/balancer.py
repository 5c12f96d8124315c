"""The network load balancer of the gateway, as annotations for the AWS Load Balancer Controller."""

import math

from components.gateway.envoy.admin import READY_PATH
from config.sections.gateway import InternalLoadBalancer
from config.sections.inference import InferenceStack
from config.sizing.capacity import BURST_CALLS, worker_calls_per_second

CHECK_SECONDS = 5
"""Time between two health checks: the shortest that AWS allows (`HealthCheckIntervalSeconds` of
ELBv2's CreateTargetGroup: 5 to 300)."""

CHECK_TIMEOUT_SECONDS = 3
"""Time for the answer to a health check; the one worker gives it between the calls of a burst."""

_FEWEST_FAILED_CHECKS = 3
_MOST_FAILED_CHECKS = 10
"""The controller's default, and the most that AWS allows (`UnhealthyThresholdCount`: 2 to 10)."""

_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3 (ELB user guide, "Security policies for your Network Load Balancer")."""

_HOST_NAME = "external-dns.alpha.kubernetes.io/hostname"
_PREFIX = "service.beta.kubernetes.io/aws-load-balancer"


def failed_checks(stack: InferenceStack) -> int:
    """Return the failed health checks in a row after which a gateway counts as unhealthy.

    They take longer than a burst on all client connections to one gateway, whose worker answers
    late meanwhile: a busy gateway must keep its clients.
    """
    burst_seconds = stack.traffic.client_connections * BURST_CALLS / worker_calls_per_second(stack)
    missed = math.floor(burst_seconds / CHECK_SECONDS) + 1
    return min(max(missed + 1, _FEWEST_FAILED_CHECKS), _MOST_FAILED_CHECKS)


def balancer_annotations(stack: InferenceStack, exposure: InternalLoadBalancer) -> dict[str, str]:
    """Build the annotations of the Service.

    Args:
        stack: The inference stack.
        exposure: The parameters of its load balancer.
    """
    unhealthy = "target_health_state.unhealthy"
    balancer: dict[str, object] = {"load_balancing.cross_zone.enabled": exposure.cross_zone}
    # Attributes of ELBv2's TargetGroupAttribute.
    targets: dict[str, object] = {
        # Otherwise NetworkPolicies see the balancer's address for every caller.
        "preserve_client_ip.enabled": True,
        # By default the balancer resets all connections of a target that fails its checks. A
        # gateway that drains fails them on purpose: GOAWAY ends its connections.
        f"{unhealthy}.connection_termination.enabled": False,
        f"{unhealthy}.draining_interval_seconds": stack.gateway_grace_seconds,
    }
    named = {_HOST_NAME: exposure.host_name} if exposure.host_name else {}
    return {
        **named,
        **_tls(stack, exposure),
        f"{_PREFIX}-scheme": "internal",
        # Directly to the pods: through node ports a call could cross a node that drains.
        f"{_PREFIX}-nlb-target-type": "ip",
        f"{_PREFIX}-attributes": _pairs(balancer),
        f"{_PREFIX}-target-group-attributes": _pairs(targets),
        # Readiness fails at a drain's start, before the balancer learns that the pod ends.
        f"{_PREFIX}-healthcheck-protocol": "http",
        f"{_PREFIX}-healthcheck-port": str(stack.gateway.ops_port),
        f"{_PREFIX}-healthcheck-path": READY_PATH,
        f"{_PREFIX}-healthcheck-interval": str(CHECK_SECONDS),
        # AWS refuses the controller's default of 10 s, which is longer than the interval.
        f"{_PREFIX}-healthcheck-timeout": str(CHECK_TIMEOUT_SECONDS),
        f"{_PREFIX}-healthcheck-healthy-threshold": "2",
        f"{_PREFIX}-healthcheck-unhealthy-threshold": str(failed_checks(stack)),
    }


def _tls(stack: InferenceStack, exposure: InternalLoadBalancer) -> dict[str, str]:
    """Build the annotations of a TLS listener, if the balancer has a certificate."""
    if not exposure.certificate_arn:
        return {}
    return {
        f"{_PREFIX}-ssl-cert": exposure.certificate_arn,
        f"{_PREFIX}-ssl-ports": str(stack.gateway.port),
        # The controller's default accepts TLS 1.0.
        f"{_PREFIX}-ssl-negotiation-policy": _TLS_POLICY,
        # gRPC clients refuse a server that does not choose HTTP/2 (ALPN), and the gateway speaks
        # nothing else.
        f"{_PREFIX}-alpn-policy": "HTTP2Only",
    }


def _pairs(attributes: dict[str, object]) -> str:
    """Spell attributes as the controller reads them: `a=true,b=1`."""
    return ",".join(f"{name}={str(value).lower()}" for name, value in attributes.items())
