"""Checks of TLS at the gateway."""

from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.problem import Finding, refuse, warn
from config.sections.gateway import InternalLoadBalancer
from config.settings import Settings


@refuse
def balancer_tls(settings: Settings) -> Iterator[Finding]:
    """One part ends TLS: the load balancer or the gateway."""
    for at in stacks(settings):
        gateway = at.stack.gateway
        arn, key = gateway.exposure.certificate_arn, at.key("gateway.exposure.certificateArn")
        if arn and gateway.tls.is_on:
            yield Finding(
                keys={key: arn, at.key("gateway.tls.kind"): gateway.tls.kind},
                reason=(
                    "a load balancer with a certificate sends plain text, which the gateway would "
                    "refuse; without one it passes the gateway's own TLS through"
                ),
                change={key: None},
            )


def _outside_callers(at: StackAt) -> dict[str, object]:
    """Return the parameters that let callers outside the stack's namespace in."""
    gateway = at.stack.gateway
    # By kind: only this check asks who is outside.
    balanced = isinstance(gateway.exposure, InternalLoadBalancer)
    return {
        **({at.key("gateway.exposure.kind"): gateway.exposure.kind} if balanced else {}),
        **(
            {at.key("gateway.clientNamespaces"): list(gateway.client_namespaces)}
            if gateway.client_namespaces
            else {}
        ),
    }


def _in_plain_text(settings: Settings) -> Iterator[tuple[StackAt, dict[str, object]]]:
    """Walk the stacks that take plain text from outside their namespace, without a reason."""
    if settings.tier == "dev":
        return
    for at in stacks(settings):
        gateway, callers = at.stack.gateway, _outside_callers(at)
        if callers and not gateway.tls.is_on and not gateway.tls.accept_plaintext:
            tls: dict[str, object] = {
                at.key("gateway.tls.kind"): gateway.tls.kind,
                at.key("gateway.tls.acceptPlaintext"): gateway.tls.accept_plaintext,
            }
            yield at, {"tier": settings.tier, **tls, **callers}


@refuse
def plaintext(settings: Settings) -> Iterator[Finding]:
    """In staging and prod callers outside the stack's namespace use TLS."""
    for at, keys in _in_plain_text(settings):
        if not at.stack.gateway.exposure.certificate_arn:
            yield Finding(
                keys=keys,
                reason=(
                    "callers outside the stack's namespace would send their calls in plain text, "
                    "and no certificate would tell them that the gateway is the right one"
                ),
                fix=(
                    f"give the gateway a certificate under {at.key('gateway.tls')} "
                    f"(docs/security.md), or say why not: {at.key('gateway.tls.acceptPlaintext')}: "
                    "<reason>"
                ),
            )


@warn
def balancer_plaintext(settings: Settings) -> Iterator[Finding]:
    """A load balancer's certificate leaves the rest of the way in plain text."""
    for at, keys in _in_plain_text(settings):
        arn = at.stack.gateway.exposure.certificate_arn
        if arn:
            yield Finding(
                keys={**keys, at.key("gateway.exposure.certificateArn"): arn},
                reason=(
                    "the load balancer ends TLS: in plain text stay the calls between it and the "
                    "gateways, and those of pods of the cluster (output clusterEndpoint)"
                ),
                fix=(
                    f"let the gateway end TLS ({at.key('gateway.tls')}, without the balancer's "
                    f"certificate), or say why not: {at.key('gateway.tls.acceptPlaintext')}: "
                    "<reason>"
                ),
            )
