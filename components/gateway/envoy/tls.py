"""TLS on the gRPC listener, with its certificate by SDS from files.

Envoy reads a static SDS file once. The file names the certificate's files. Envoy reads these again
each time that kubelet moves their folder's `..data` link to new contents of the Secret (ADR 19).
Envoy never reads the files of a certificate in the listener again.
"""

from components.gateway.envoy.protojson import Json, extension, typed
from components.gateway.envoy.registration import Mount
from config.sections.inference import InferenceStack

CONFIG_FOLDER = "/etc/envoy"
"""Folder of the files of the gateway's ConfigMap, in Envoy's container."""

SDS_FILE = "sds.yaml"
"""Name of the SDS file in the gateway's ConfigMap."""

SERVER = "server"
"""Name of the gateway's own certificate in SDS, and so in Envoy's statistics."""

CERTIFICATE_FOLDER = f"{CONFIG_FOLDER}/tls"
"""Folder of the certificate, in Envoy's container."""

CERTIFICATE_FILE, KEY_FILE = "tls.crt", "tls.key"
"""Keys of a Secret of type `kubernetes.io/tls` (Kubernetes documentation, "Secrets")."""

_TLS = "extensions.transport_sockets.tls.v3"

_HANDSHAKE_SECONDS = 10
"""Time for a handshake, after which Envoy closes the connection; Envoy's default is no limit."""

_OWNER_AND_GROUP = 0o440
"""Mode of the mounted files. kubelet gives them to the pod's group."""


def sds(stack: InferenceStack) -> Json | None:
    """Build the SDS file, a `DiscoveryResponse`; None without TLS."""
    if not stack.gateway.tls.secret_name:
        return None
    certificate = {
        "certificate_chain": {"filename": f"{CERTIFICATE_FOLDER}/{CERTIFICATE_FILE}"},
        "private_key": {"filename": f"{CERTIFICATE_FOLDER}/{KEY_FILE}"},
        "watched_directory": {"path": CERTIFICATE_FOLDER},
    }
    return {"resources": [typed(f"{_TLS}.Secret", name=SERVER, tls_certificate=certificate)]}


def filter_chain(stack: InferenceStack) -> Json:
    """Build the fields of the listener's filter chain; none without TLS."""
    version = stack.gateway.tls.min_version
    if version is None:
        return {}
    path = f"{CONFIG_FOLDER}/{SDS_FILE}"
    source = {"path_config_source": {"path": path}, "resource_api_version": "V3"}
    return {
        "transport_socket": extension(
            "envoy.transport_sockets.tls",
            f"{_TLS}.DownstreamTlsContext",
            common_tls_context={
                "alpn_protocols": ["h2"],
                "tls_params": {
                    "tls_minimum_protocol_version": f"TLSv{version.replace('.', '_')}",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificate_sds_secret_configs": [{"name": SERVER, "sds_config": source}],
            },
        ),
        "transport_socket_connect_timeout": f"{_HANDSHAKE_SECONDS}s",
    }


def mounts(stack: InferenceStack) -> list[Mount]:
    """Return the volumes with the files that the SDS file names.

    No `subPath`: such a mount keeps its contents from the container's start.
    """
    secret = stack.gateway.tls.secret_name
    if not secret:
        return []
    source = {
        "secret": {
            "secretName": secret,
            "defaultMode": _OWNER_AND_GROUP,
            "items": [{"key": key, "path": key} for key in (CERTIFICATE_FILE, KEY_FILE)],
        }
    }
    return [Mount(name="tls", path=CERTIFICATE_FOLDER, source=source)]
