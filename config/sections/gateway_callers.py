"""Callers of the gateway: their names and their tokens."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.base import ObjectName, Section
from config.sections.gateway_tls import DataKey

CALLER_HEADER = "x-kubemind-caller"
"""Request header with the caller's name. The gateway sets it before all else, after it has removed
the caller's own, and replicas do not get it."""

ANONYMOUS = "anonymous"
"""Name of all callers that present neither a token nor a certificate with a name."""


JwksText = Annotated[str, Field(min_length=1, max_length=1024 * 1024)]
"""A JSON web key set (RFC 7517), as long as a ConfigMap may be."""

Claim = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:/~@-][A-Za-z0-9_.:/~@-]{0,127}$")]
"""Name of a claim; Envoy takes dots for claims within claims."""

Identifier = Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]
"""An issuer or an audience: a string without spaces, most often a URL (RFC 7519, 4.1)."""


class InlineJwks(Section):
    """Public keys in the parameters; a change rolls the gateways."""

    kind: Literal["inline"]
    """The keys themselves."""

    keys: JwksText
    """JSON web key set with public keys, as the issuer publishes it."""


class SecretJwks(Section):
    """Keys in a Secret of the stack's namespace."""

    keys: ClassVar[str | None] = None
    """Keys in the parameters."""

    kind: Literal["secret"]
    """A Secret; it may hold symmetric keys, too."""

    name: ObjectName
    """Its name."""

    key: DataKey = "jwks.json"
    """Its key with the JSON web key set. A change reaches the gateways by kubelet, within two
    minutes, without a rollout and without a lost call."""


class ConfigMapJwks(Section):
    """Public keys in a ConfigMap of the stack's namespace."""

    keys: ClassVar[str | None] = None
    """Keys in the parameters."""

    kind: Literal["configMap"]
    """A ConfigMap."""

    name: ObjectName
    """Its name."""

    key: DataKey = "jwks.json"
    """Its key with the JSON web key set. A change reaches the gateways by kubelet, within two
    minutes, without a rollout and without a lost call."""


Jwks = InlineJwks | SecretJwks | ConfigMapJwks


class JwtIssuer(Section):
    """One authority whose tokens the gateway accepts."""

    issuer: Identifier
    """Claim `iss` of its tokens."""

    audiences: tuple[Identifier, ...] = Field(min_length=1)
    """Values of the claim `aud`, one of which a token must have: else a token that the issuer has
    made for another service would open the gateway."""

    jwks: Jwks = Field(discriminator="kind")
    """Keys that verify its tokens. A token that a gateway has verified stays valid for it until it
    expires, even if the key is removed; `kubectl rollout restart` of the gateways ends that."""


class Jwt(Section):
    """Calls with a signed token: metadata `authorization: Bearer <token>`."""

    issuers: tuple[JwtIssuer, ...] = Field(min_length=1)
    """Authorities whose tokens are accepted."""

    claim: Claim = "sub"
    """Claim with the caller's name, a string. A token without it counts as no name."""

    max_lifetime_seconds: float = Field(default=24 * 3600, ge=60, le=366 * 24 * 3600)
    """Longest time for which a token may still be valid; a token without an end is refused, too.
    A stolen token, or one by a key that was removed, is of use for no longer."""

    required: bool = True
    """False if calls without a token are accepted, too, as long as callers get theirs. A call that
    carries a token needs a valid one. Calls of the health service need none in either case."""


class Callers(Section):
    """Names of callers.

    A caller's name is the claim of its token, if `jwt` is set, or else the subject alternative name
    of its certificate (`tls.clients`). All other callers share the name `anonymous`. Callers cannot
    state their names themselves.
    """

    jwt: Jwt | None = None
    """Signed tokens. If unset, calls need none."""

    @property
    def issuers(self) -> tuple[JwtIssuer, ...]:
        """Authorities whose tokens are accepted; none without tokens."""
        return self.jwt.issuers if self.jwt else ()
