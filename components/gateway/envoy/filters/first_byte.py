"""The wait for a call's first byte: a call without one never takes a place at a replica (ADR 23).

The filter of external authorization is the only one that waits for a part of a body. Nobody is
asked: the cluster does not exist, so Envoy has the answer at once, and the call passes.
"""

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter, RouteName
from config.sections.inference import InferenceStack

_PACKAGE = "extensions.filters.http.ext_authz.v3"

_NOBODY = "nobody"
"""Name of no cluster. Envoy 1.40 does not look it up before the first call."""


def _is_on(stack: InferenceStack) -> bool:
    return stack.gateway.await_first_byte


def _config(_: InferenceStack) -> Json:
    return typed(
        f"{_PACKAGE}.ExtAuthz",
        transport_api_version="V3",
        with_request_body={"max_request_bytes": 1, "allow_partial_message": True},
        http_service={"server_uri": {"uri": _NOBODY, "cluster": _NOBODY, "timeout": "1s"}},
        failure_mode_allow=True,
    )


def _route_config(_: InferenceStack, route: RouteName) -> Json | None:
    # The gateway answers calls on the other routes itself, by their headers.
    calls = route in ("stream", "unary")
    return None if calls else typed(f"{_PACKAGE}.ExtAuthzPerRoute", disabled=True)


FIRST_BYTE = HttpFilter(
    name="envoy.filters.http.ext_authz",
    is_on=_is_on,
    config=_config,
    route_config=_route_config,
)
"""Holds a call's headers until a byte of its body arrives, or the body or the call's time ends.

A replica works on no call before it has the message, but the call's stream counts as in flight.
"""
