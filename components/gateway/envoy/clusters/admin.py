"""The cluster that leads the ops listener to Envoy's admin interface."""

from components.gateway.envoy.admin import ADMIN_CLUSTER, LOOPBACK
from components.gateway.envoy.protojson import Json, address
from components.gateway.envoy.registration import Cluster, always
from config.sections.inference import InferenceStack

_MAX_SCRAPES = 16


def _config(stack: InferenceStack) -> Json:
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _MAX_SCRAPES,
                    "max_pending_requests": _MAX_SCRAPES,
                    "max_requests": _MAX_SCRAPES,
                    "max_retries": 1,
                }
            ]
        },
        "load_assignment": {
            "cluster_name": ADMIN_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": address(LOOPBACK, stack.gateway.admin_port)}}
                    ]
                }
            ],
        },
    }


ADMIN = Cluster(is_on=always, config=_config)
"""Envoy itself, on loopback."""
