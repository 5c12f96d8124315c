"""Callers of the gateway: their names, their tokens and their limits."""

import math
import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from config.base import Calls, Cidr, ObjectName, Section
from config.sections.gateway_record import CallerMetrics
from config.sections.gateway_tls import ConfigMapCa, DataKey, SecretCa

CALLER_HEADER = "x-kubemind-caller"
"""Request header with the name that a caller's token states. The gateway alone sets it: it removes
the caller's own before all else, and replicas do not get it."""

ANONYMOUS = "anonymous"
"""Name of all callers that present neither a token nor a certificate with a name."""


JwksText = Annotated[str, Field(min_length=1, max_length=1024 * 1024)]
"""A JSON web key set (RFC 7517), as long as a ConfigMap may be."""

_HTTPS_PORT = 443
_HTTPS_ADDRESS = re.compile(r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?/[!-~]*")


def _https(value: str) -> str:
    if not _HTTPS_ADDRESS.fullmatch(value):
        raise ValueError(
            "must be an address such as https://issuer.example.com/keys: keys that came in plain "
            "text could be anyone's"
        )
    return value


HttpsAddress = Annotated[str, AfterValidator(_https)]
"""An address by HTTPS."""

Claim = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:/~@-][A-Za-z0-9_.:/~@-]{0,127}$")]
"""Name of a claim; Envoy takes dots for claims within claims."""

Identifier = Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]
"""An issuer or an audience: a string without spaces, most often a URL (RFC 7519, 4.1)."""


CallerName = Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]
"""Name of a caller: a claim, a subject alternative name, or several of these with commas."""


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


class ImageCa(Section):
    """The public authorities that the gateway's image knows."""

    kind: Literal["image"] = "image"
    """The CA bundle of the image."""


class RemoteJwks(Section):
    """Public keys that each gateway fetches from the issuer, by HTTPS."""

    keys: ClassVar[str | None] = None
    """Keys in the parameters."""

    kind: Literal["remote"]
    """An address of the issuer."""

    uri: HttpsAddress
    """Address of its JSON web key set, most often its `jwks_uri`."""

    cidrs: tuple[Cidr, ...] = Field(min_length=1)
    """Address ranges of that host; the NetworkPolicy lets gateways connect to its port there."""

    ca: ImageCa | SecretCa | ConfigMapCa = Field(default=ImageCa(), discriminator="kind")
    """Authorities that sign the host's certificate."""

    refresh_seconds: int = Field(default=300, ge=10, le=24 * 3600)
    """Time between two fetches, and so the longest life of a removed key. While a fetch fails,
    gateways keep the keys that they have."""

    @property
    def host(self) -> str:
        """DNS name of the host, which its certificate must have."""
        return urlsplit(self.uri).hostname or ""

    @property
    def port(self) -> int:
        """Port of the host."""
        return urlsplit(self.uri).port or _HTTPS_PORT


Jwks = InlineJwks | SecretJwks | ConfigMapJwks | RemoteJwks


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


class CallerRate(Section):
    """A rate of calls, at one gateway pod."""

    requests_per_second: float = Field(ge=0.01, le=1_000_000)
    """Calls a second that one caller may make through one gateway pod. A client connection ends at
    one pod."""

    burst: Calls | None = None
    """Calls that a caller may make at once, after it has made none for a while. If unset, those of
    one second."""

    @property
    def bucket(self) -> int:
        """Calls at once."""
        return self.burst or math.ceil(self.requests_per_second)


class CallerOverride(CallerRate):
    """The rate of one caller, in place of all others'."""

    caller: CallerName
    """Name of the caller; `anonymous` for all calls without a name."""


class CallerLimit(CallerRate):
    """Rate limit of each caller: calls beyond it get RESOURCE_EXHAUSTED at once.

    The scaler does not count them. Callers without a name share one rate.
    """

    overrides: tuple[CallerOverride, ...] = ()
    """Callers with a rate of their own."""

    enforced: bool = True
    """False if the gateway counts the calls beyond the limit, and refuses none of them."""


class FairShares(Section):
    """Shares of the fleet under overload.

    Each gateway keeps a queue by caller before each replica, and sends every caller's calls on a
    connection of their own, so that replicas work on the calls of all callers in turn.
    """

    guaranteed_rps: Annotated[float, Field(ge=0.01, le=1_000_000)] | None = None
    """Calls per second of each caller that one gateway sends ahead of the queues, and does not
    refuse with the others. If unset, a fifth of the calls that the smallest fleet answers."""

    calls_per_pod: Calls | None = None
    """Calls of one caller that one gateway sends to one pod at once; the others wait in the
    gateway. If unset, those that a pod works on, so that a caller alone has the whole fleet."""


class Callers(Section):
    """Names of callers.

    A caller's name is the claim of its token, if `jwt` is set, or else the subject alternative name
    of its certificate (`tls.clients`). All other callers share the name `anonymous`. Callers cannot
    state their names themselves.
    """

    metrics: CallerMetrics | None = None
    """Metrics per caller. If unset, metrics name no callers."""

    jwt: Jwt | None = None
    """Signed tokens. If unset, calls need none."""

    limit: CallerLimit | None = None
    """Rate limit of each caller. If unset, a caller may make all calls that the gateway admits."""

    fair_shares: FairShares | None = None
    """Fair shares under overload. If unset, the caller with the most calls gets the most."""

    @property
    def issuers(self) -> tuple[JwtIssuer, ...]:
        """Authorities whose tokens are accepted; none without tokens."""
        return self.jwt.issuers if self.jwt else ()
