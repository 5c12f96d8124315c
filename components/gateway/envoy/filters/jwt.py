"""Signed tokens (JWT): who may call, and the caller's name."""

from components.gateway.envoy import jwks
from components.gateway.envoy.protojson import Json, seconds, typed
from components.gateway.envoy.registration import HttpFilter
from config.sections.gateway_callers import CALLER_HEADER, Jwt, JwtIssuer
from config.sections.inference import InferenceStack

HEALTH_SERVICE = "grpc.health.v1.Health"
"""gRPC's health service. Clients that check health take a refusal for a dead server, and
UNIMPLEMENTED for a live one (gRFC A17)."""

_JWT_CACHE_SIZE = 1000
"""Verified tokens that a gateway remembers, because a signature costs CPU in each call (ADR 21).
A token of up to 4 KiB is remembered (Envoy's default)."""


def _jwt(stack: InferenceStack) -> Jwt | None:
    callers = stack.gateway.callers
    return callers.jwt if callers else None


def _is_on(stack: InferenceStack) -> bool:
    return _jwt(stack) is not None


def _provider(index: int, issuer: JwtIssuer, jwt: Jwt) -> Json:
    return {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        **jwks.source(index, issuer),
        # Not in the query, either, where logs of others would keep it.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "claim_to_headers": [{"claim_name": jwt.claim, "header_name": CALLER_HEADER}],
        "max_lifetime": seconds(jwt.max_lifetime_seconds),
        "jwt_cache_config": {"jwt_cache_size": _JWT_CACHE_SIZE},
    }


def _requirement(providers: list[str], *, required: bool) -> Json:
    accepted: list[Json] = [{"provider_name": name} for name in providers]
    if not required:
        accepted.append({"allow_missing": {}})
    return accepted[0] if len(accepted) == 1 else {"requires_any": {"requirements": accepted}}


def _config(stack: InferenceStack) -> Json:
    jwt = _jwt(stack)
    assert jwt  # noqa: S101 - the registry asks for the configuration of filters that are on
    providers = {
        f"issuer-{index}": _provider(index, issuer, jwt) for index, issuer in enumerate(jwt.issuers)
    }
    requirement = _requirement([*providers], required=jwt.required)
    return typed(
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers=providers,
        rules=[
            {"match": {"prefix": f"/{HEALTH_SERVICE}/"}},
            {"match": {"prefix": "/"}, "requires": requirement},
        ],
    )


JWT = HttpFilter(
    name="envoy.filters.http.jwt_authn",
    is_on=_is_on,
    config=_config,
    clusters=jwks.clusters,
    listeners=jwks.listeners,
    mounts=jwks.mounts,
)
"""Answers UNAUTHENTICATED to calls without a valid token, PERMISSION_DENIED to one for another
audience. Replicas do not get the token."""


def _is_optional(stack: InferenceStack) -> bool:
    jwt = _jwt(stack)
    return jwt is not None and not jwt.required


def _count(_: InferenceStack) -> Json:
    anything: list[Json] = [{"any": True}]
    health = {"url_path": {"path": {"prefix": f"/{HEALTH_SERVICE}/"}}}
    token = {"header": {"name": "authorization", "present_match": True}}
    return typed(
        "extensions.filters.http.rbac.v3.RBAC",
        shadow_rules={
            "policies": {
                "health": {"permissions": [health], "principals": anything},
                "token": {"permissions": anything, "principals": [token]},
            }
        },
        shadow_rules_stat_prefix="without_token",
    )


MISSING_TOKENS = HttpFilter(name="missing_tokens", is_on=_is_optional, config=_count)
"""Counts the calls without a token while none is required, and denies none of them."""
