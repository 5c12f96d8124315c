"""The router: the last HTTP filter of any listener."""

from components.gateway.envoy.protojson import Json, typed
from components.gateway.envoy.registration import HttpFilter, always
from config.sections.inference import InferenceStack


def _config(_: InferenceStack) -> Json:
    return typed("extensions.filters.http.router.v3.Router")


ROUTER = HttpFilter(name="envoy.filters.http.router", is_on=always, config=_config)
"""Sends each call to the cluster of its route."""
