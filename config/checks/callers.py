"""Checks of the callers' names and tokens."""

from collections import Counter
from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.jwks import jwks_fault
from config.problem import Finding, refuse, warn
from config.settings import Settings


@refuse
def token_issuers(settings: Settings) -> Iterator[Finding]:
    """Each issuer is stated once."""
    for at in stacks(settings):
        issuers = [each.issuer for each in at.stack.token_issuers]
        for name, count in Counter(issuers).items():
            if count > 1:
                paths = [
                    at.key(f"gateway.callers.jwt.issuers[{index}].issuer")
                    for index, issuer in enumerate(issuers)
                    if issuer == name
                ]
                yield Finding(
                    keys=dict.fromkeys(paths, name),
                    reason=(
                        f"the issuer {name} is stated {count} times: a token would have to fit one "
                        "of them, and a key that one of them drops would stay valid by another"
                    ),
                    fix="state it once, with all its audiences and keys",
                )


@refuse
def token_keys(settings: Settings) -> Iterator[Finding]:
    """Key sets in the parameters admit tokens."""
    for at in stacks(settings):
        for index, issuer in enumerate(at.stack.token_issuers):
            text = issuer.jwks.keys
            fault = None if text is None else jwks_fault(text, public=True)
            if text is not None and fault:
                key = at.key(f"gateway.callers.jwt.issuers[{index}].jwks.keys")
                yield Finding(
                    # Its contents are long, and may be a key that no log should have.
                    keys={key: f"{len(text)} characters"},
                    reason=(
                        f"the key set of the issuer {issuer.issuer} cannot be used, and gateways "
                        f"would refuse all its tokens: {fault}"
                    ),
                    fix="copy the issuer's key set, most often published at its jwks_uri",
                )


@warn
def tokens_in_plain_text(settings: Settings) -> Iterator[Finding]:
    """Outside tier dev tokens pass by TLS."""
    if settings.tier == "dev":
        return
    for at in stacks(settings):
        gateway = at.stack.gateway
        if at.stack.token_issuers and not gateway.tls.is_on and not gateway.tls.accept_plaintext:
            yield Finding(
                keys={
                    "tier": settings.tier,
                    at.key("gateway.tls.kind"): gateway.tls.kind,
                    at.key("gateway.tls.acceptPlaintext"): gateway.tls.accept_plaintext,
                },
                reason=(
                    "callers would send their tokens in plain text: who reads one in the network "
                    "may call in its owner's name until it expires"
                ),
                fix=(
                    f"give the gateway a certificate under {at.key('gateway.tls')} "
                    f"(docs/security.md), or say why not: {at.key('gateway.tls.acceptPlaintext')}: "
                    "<reason>"
                ),
            )
