"""Checks of TLS at the gateway."""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.settings import Settings


@refuse
def balancer_tls(settings: Settings) -> Iterator[Finding]:
    """One part ends TLS: the load balancer or the gateway."""
    for at in stacks(settings):
        gateway = at.stack.gateway
        arn, key = gateway.exposure.certificate_arn, at.key("gateway.exposure.certificateArn")
        if arn and gateway.tls.secret_name:
            yield Finding(
                keys={key: arn, at.key("gateway.tls.kind"): gateway.tls.kind},
                reason=(
                    "a load balancer with a certificate sends plain text, which the gateway would "
                    "refuse; without one it passes the gateway's own TLS through"
                ),
                change={key: None},
            )
