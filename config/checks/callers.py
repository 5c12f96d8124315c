"""Checks of the callers' names and tokens."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from config.checks.stack_paths import StackAt, stacks
from config.jwks import jwks_fault
from config.problem import Finding, number, refuse, warn
from config.settings import Settings


def _stated_twice(
    at: StackAt,
    names: Sequence[str],
    path: Callable[[int], str],
    reason: Callable[[str, int], str],
    fix: str,
) -> Iterator[Finding]:
    """Yield a finding for each name that occurs more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            indices = [index for index, each in enumerate(names) if each == name]
            keys: dict[str, object] = {at.key(path(index)): name for index in indices}
            yield Finding(keys=keys, reason=reason(name, count), fix=fix)


@refuse
def token_issuers(settings: Settings) -> Iterator[Finding]:
    """Each issuer is stated once."""
    for at in stacks(settings):
        yield from _stated_twice(
            at,
            [each.issuer for each in at.stack.token_issuers],
            lambda index: f"gateway.callers.jwt.issuers[{index}].issuer",
            lambda name, count: (
                f"the issuer {name} is stated {count} times: a token would have to fit one of "
                "them, and a key that one of them drops would stay valid by another"
            ),
            "state it once, with all its audiences and keys",
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


@refuse
def caller_overrides(settings: Settings) -> Iterator[Finding]:
    """Each caller has one rate."""
    for at in stacks(settings):
        callers = at.stack.gateway.callers
        overrides = callers.limit.overrides if callers and callers.limit else ()
        yield from _stated_twice(
            at,
            [each.caller for each in overrides],
            lambda index: f"gateway.callers.limit.overrides[{index}].caller",
            lambda name, count: (
                f"the caller {name} has {count} rates, and Envoy would refuse its configuration"
            ),
            "state one of them",
        )


@warn
def caller_names(settings: Settings) -> Iterator[Finding]:
    """A limit of each caller needs callers with names."""
    for at in stacks(settings):
        callers = at.stack.gateway.callers
        limit = callers.limit if callers else None
        if limit and not at.stack.token_issuers and not at.stack.gateway.tls.clients:
            yield Finding(
                keys={
                    at.key("gateway.callers.limit.requestsPerSecond"): limit.requests_per_second,
                    at.key("gateway.callers.jwt"): None,
                    at.key("gateway.tls.clients"): None,
                },
                reason=(
                    "no caller has a name, because there are neither tokens nor certificates: all "
                    f"of them together may make {number(limit.requests_per_second)} calls a second "
                    "through one gateway"
                ),
                fix=(
                    f"state {at.key('gateway.callers.jwt')}, or {at.key('gateway.tls.clients')} "
                    "under a gateway's certificate (docs/security.md)"
                ),
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
