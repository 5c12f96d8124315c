"""The cluster that no call reaches: with its files Envoy starts, or ends and says why (ADR 19).

SDS keeps the material in use when new material is bad. A gateway that has none yet would start all
the same, become ready and take no call. The files of a cluster are read once, at the start.
"""

from components.gateway.envoy.protojson import Json, extension
from components.gateway.envoy.registration import Cluster
from components.gateway.envoy.tls import material
from config.sections.inference import InferenceStack

NAME = "start_check"
"""Name of the cluster."""


def _is_on(stack: InferenceStack) -> bool:
    return stack.gateway.tls.is_on


def _config(stack: InferenceStack) -> Json:
    return {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": NAME},
        "transport_socket": extension(
            "envoy.transport_sockets.tls",
            "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context=material(stack),
        ),
    }


START_CHECK = Cluster(is_on=_is_on, config=_config)
"""Certificate, key and clients' CA bundle of the gateway, without an endpoint."""
