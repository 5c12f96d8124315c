"""TLS on the gRPC listener, with its certificates by SDS from files.

Envoy reads static SDS files once. They name the files of the certificates. Envoy reads these again
each time that kubelet moves their folder's `..data` link to new contents of the Secret (ADR 19).
Envoy never reads the files of a certificate in the listener again.
"""

import copy

from components.gateway.envoy.protojson import Json, extension, typed
from components.gateway.envoy.registration import Mount
from config.sections.gateway_callers import ConfigMapJwks, SecretJwks
from config.sections.gateway_tls import ConfigMapCa, SecretCa, TlsClients, is_uri
from config.sections.inference import InferenceStack

CONFIG_FOLDER = "/etc/envoy"
"""Folder of the files of the gateway's ConfigMap, in Envoy's container."""

SERVER = "server"
"""Name of the gateway's own certificate in SDS, and so in Envoy's statistics."""

CLIENTS = "clients"
"""Name in SDS of the rules for the clients' certificates."""

CERTIFICATE_FOLDER = f"{CONFIG_FOLDER}/tls"
"""Folder of the certificate, in Envoy's container."""

CLIENT_CA_FOLDER = f"{CONFIG_FOLDER}/client-ca"
"""Folder of the clients' CA bundle, in Envoy's container."""

CERTIFICATE_FILE, KEY_FILE = "tls.crt", "tls.key"
"""Keys of a Secret of type `kubernetes.io/tls` (Kubernetes documentation, "Secrets")."""

CA_FILE = "ca.crt"
"""File of the clients' CA bundle."""

_TLS = "extensions.transport_sockets.tls.v3"

_HANDSHAKE_SECONDS = 10
"""Time for a TLS handshake, or for the first bytes in plain text, after which Envoy closes the
connection. Envoy waits for a handshake without a limit by default."""

_OWNER_AND_GROUP = 0o440
"""Mode of the mounted files. kubelet gives them to the pod's group."""


def sds_file(name: str) -> str:
    """Return the name, in the gateway's ConfigMap, of the SDS file of one secret.

    A secret has a file of its own: Envoy refuses an answer of SDS with two.
    """
    return f"sds-{name}.yaml"


def sds(stack: InferenceStack) -> dict[str, Json]:
    """Build the SDS files, each a `DiscoveryResponse`, by the name of their secret."""
    tls = stack.gateway.tls
    if not tls.is_on:
        return {}
    certificate = {**_pair(), "watched_directory": {"path": CERTIFICATE_FOLDER}}
    found = {SERVER: {"tls_certificate": certificate}}
    if tls.clients:
        found[CLIENTS] = {"validation_context": _rules(tls.clients)}
    return sds_files(found)


def sds_files(secrets: dict[str, Json]) -> dict[str, Json]:
    """Build the SDS files of secrets, each a `DiscoveryResponse`, by the secrets' names."""
    return {
        name: {"resources": [typed(f"{_TLS}.Secret", name=name, **fields)]}
        for name, fields in secrets.items()
    }


def material(stack: InferenceStack) -> Json:
    """Build the `CommonTlsContext` of the same files without SDS: Envoy reads them at its start."""
    context: Json = {"tls_certificates": [_pair()]}
    return {**context, "validation_context": _bundle()} if stack.gateway.tls.clients else context


def _pair() -> Json:
    return {
        "certificate_chain": {"filename": f"{CERTIFICATE_FOLDER}/{CERTIFICATE_FILE}"},
        "private_key": {"filename": f"{CERTIFICATE_FOLDER}/{KEY_FILE}"},
    }


def _bundle() -> Json:
    return {"trusted_ca": {"filename": f"{CLIENT_CA_FOLDER}/{CA_FILE}"}}


def _rules(clients: TlsClients) -> Json:
    rules: Json = {**_bundle(), "watched_directory": {"path": CLIENT_CA_FOLDER}}
    names = [
        {"san_type": "URI" if is_uri(name) else "DNS", "matcher": {"exact": name}}
        for name in clients.names
    ]
    # Envoy takes an empty list for "all names".
    return {**rules, "match_typed_subject_alt_names": names} if names else rules


def sds_config(name: str) -> Json:
    """Build the `SdsSecretConfig` that reads a secret from its SDS file."""
    path = f"{CONFIG_FOLDER}/{sds_file(name)}"
    return {
        "name": name,
        "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
    }


def listener_fields(stack: InferenceStack, filters: list[Json]) -> Json:
    """Build the listener's filter chains, and the filters that inspect a connection before them.

    Args:
        stack: The inference stack.
        filters: Network filters of each chain.
    """
    tls, plain = stack.gateway.tls, {"filters": filters}
    encrypted = {**plain, **_transport(stack)}
    if not tls.is_on:
        return {**_inspectors("http"), "filter_chains": [plain]}
    if not tls.accept_plaintext:
        return {"filter_chains": [encrypted]}
    return {
        **_inspectors("tls", "http"),
        "filter_chains": [
            # A copy, or YAML would write the second chain as an alias of the first.
            {"filter_chain_match": {"transport_protocol": protocol}, **copy.deepcopy(chain)}
            for protocol, chain in (("tls", encrypted), ("raw_buffer", plain))
        ],
    }


def _inspectors(*protocols: str) -> Json:
    """Build the listener filters that wait for the first bytes, and close silent connections.

    No filter chain has taken such a connection yet. The filter for HTTP lets TLS pass.
    """
    package = "extensions.filters.listener"
    return {
        "listener_filters": [
            extension(
                f"envoy.filters.listener.{name}_inspector",
                f"{package}.{name}_inspector.v3.{name.capitalize()}Inspector",
            )
            for name in protocols
        ],
        "listener_filters_timeout": f"{_HANDSHAKE_SECONDS}s",
    }


def _transport(stack: InferenceStack) -> Json:
    """Build the fields of a filter chain that takes TLS; none without TLS."""
    tls = stack.gateway.tls
    if tls.min_version is None:
        return {}
    common: Json = {
        "alpn_protocols": ["h2"],
        "tls_params": {
            "tls_minimum_protocol_version": f"TLSv{tls.min_version.replace('.', '_')}",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificate_sds_secret_configs": [sds_config(SERVER)],
    }
    context: Json = {"common_tls_context": common}
    if tls.clients:
        common["validation_context_sds_secret_config"] = sds_config(CLIENTS)
        context["require_client_certificate"] = tls.clients.required
    return {
        "transport_socket": extension(
            "envoy.transport_sockets.tls", f"{_TLS}.DownstreamTlsContext", **context
        ),
        "transport_socket_connect_timeout": f"{_HANDSHAKE_SECONDS}s",
    }


def mounts(stack: InferenceStack) -> list[Mount]:
    """Return the volumes with the files that the SDS files name.

    No `subPath`: such a mount keeps its contents from the container's start.
    """
    tls, secret = stack.gateway.tls, stack.tls_secret_name
    if not secret:
        return []
    own = _secret(secret, {file: file for file in (CERTIFICATE_FILE, KEY_FILE)})
    found = [Mount(name="tls", path=CERTIFICATE_FOLDER, source=own)]
    if tls.clients:
        source = key_source(tls.clients.ca, CA_FILE)
        found.append(Mount(name="client-ca", path=CLIENT_CA_FOLDER, source=source))
    return found


def key_source(at: SecretCa | ConfigMapCa | SecretJwks | ConfigMapJwks, file: str) -> Json:
    """Return the source of a volume with one key of a Secret or ConfigMap.

    Args:
        at: The key.
        file: Name of its file in the volume.
    """
    files = {at.key: file}
    # By kind: sections know no volumes.
    if isinstance(at, SecretCa | SecretJwks):
        return _secret(at.name, files)
    return {"configMap": {"name": at.name, "items": _items(files)}}


def _secret(name: str, files: dict[str, str]) -> Json:
    return {"secret": {"secretName": name, "defaultMode": _OWNER_AND_GROUP, "items": _items(files)}}


def _items(files: dict[str, str]) -> list[Json]:
    return [{"key": key, "path": path} for key, path in files.items()]
