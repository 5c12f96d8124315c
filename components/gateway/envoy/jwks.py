"""Key sets that change without a rollout: from the issuer, or from a mounted file.

Envoy never reads the file of a `local_jwks` again. It does read the file of a direct response
again, each time that kubelet moves the folder's `..data` link. So a listener of the gateway answers
with the file, and the filter of tokens fetches it there, as it does from an issuer (ADR 21).
"""

from collections.abc import Iterable

from components.gateway.envoy.protojson import Json, address, extension, seconds
from components.gateway.envoy.registration import Mount
from components.gateway.envoy.tls import CA_FILE, CONFIG_FOLDER, key_source, sds_config, sds_files
from config.sections.gateway_callers import (
    ConfigMapJwks,
    ImageCa,
    JwtIssuer,
    RemoteJwks,
    SecretJwks,
)
from config.sections.inference import InferenceStack

CLUSTER = "jwks"
"""Name of the cluster of mounted key sets, and of the listener behind it."""

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""CA bundle of Envoy's image (its `distribution/docker/Dockerfile-envoy`)."""

_FILE = "jwks.json"
_FETCH_SECONDS = 1
"""Time between two fetches, and longest wait for one."""

_REMOTE_TIMEOUT_SECONDS = 5
_REMOTE_RETRY_SECONDS = 5
"""Time after which a fetch from an issuer fails, and until the next one then."""

_MAX_BYTES = 1024 * 1024
"""Size of the largest ConfigMap or Secret (Kubernetes documentation, "ConfigMaps")."""


def folder(index: int) -> str:
    """Return the folder of the key set of one issuer, in Envoy's container."""
    return f"{CONFIG_FOLDER}/jwks-{index}"


def ca_folder(index: int) -> str:
    """Return the folder of the CA bundle of one issuer's host, in Envoy's container."""
    return f"{CONFIG_FOLDER}/{_ca(index)}"


def _ca(index: int) -> str:
    """Return the name of that bundle in SDS."""
    return f"jwks-ca-{index}"


def _remote(stack: InferenceStack) -> dict[int, RemoteJwks]:
    """Return the key sets that gateways fetch, by the index of their issuer."""
    return {
        index: issuer.jwks
        for index, issuer in enumerate(stack.token_issuers)
        # By kind: sections know no clusters.
        if isinstance(issuer.jwks, RemoteJwks)
    }


def _mounted(stack: InferenceStack) -> dict[int, SecretJwks | ConfigMapJwks]:
    """Return the key sets that are files, by the index of their issuer."""
    return {
        index: issuer.jwks
        for index, issuer in enumerate(stack.token_issuers)
        # By kind: sections know no files.
        if isinstance(issuer.jwks, SecretJwks | ConfigMapJwks)
    }


def source(index: int, issuer: JwtIssuer) -> Json:
    """Build the field of a `JwtProvider` that says where its keys are."""
    if issuer.jwks.keys is not None:
        return {"local_jwks": {"inline_string": issuer.jwks.keys}}
    # By kind: sections know no clusters.
    if isinstance(issuer.jwks, RemoteJwks):
        uri, cluster, refresh = issuer.jwks.uri, f"{CLUSTER}-{index}", issuer.jwks.refresh_seconds
        timeout, retry = _REMOTE_TIMEOUT_SECONDS, _REMOTE_RETRY_SECONDS
    else:
        uri, cluster, refresh = f"http://{CLUSTER}/{index}", CLUSTER, _FETCH_SECONDS
        timeout = retry = _FETCH_SECONDS
    return {
        "remote_jwks": {
            "http_uri": {"uri": uri, "cluster": cluster, "timeout": seconds(timeout)},
            "cache_duration": seconds(refresh),
            # The keys in use stay in use while a fetch fails. Callers wait for no fetch but the
            # first: while Envoy starts, its own listener does not answer yet.
            "async_fetch": {"fast_listener": True, "failed_refetch_duration": seconds(retry)},
        }
    }


def _address(stack: InferenceStack) -> Json:
    """Return a socket in the abstract namespace: no port, no file, and only for the pod itself."""
    return {"pipe": {"path": f"@{CLUSTER}-{stack.gateway.admin_port}"}}


def clusters(stack: InferenceStack) -> list[Json]:
    """Return the `Cluster`s that lead to the gateway's own listener, and to issuers."""
    own: Json = {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": seconds(_FETCH_SECONDS),
        **_endpoint(CLUSTER, _address(stack)),
    }
    return [
        *([own] if _mounted(stack) else []),
        *(_issuer(index, jwks) for index, jwks in _remote(stack).items()),
    ]


def _issuer(index: int, jwks: RemoteJwks) -> Json:
    """Build the `Cluster` of an issuer's host, whose certificate it verifies."""
    name = f"{CLUSTER}-{index}"
    return {
        "name": name,
        "connect_timeout": seconds(_REMOTE_TIMEOUT_SECONDS),
        "cluster_type": extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            # One connection to one of the addresses at a time.
            all_addresses_in_single_endpoint=True,
            respect_dns_ttl=True,
            # By default it prefers IPv6, to which a cluster's pods most often have no way.
            dns_lookup_family="V4_PREFERRED",
        ),
        **_endpoint(name, address(jwks.host, jwks.port)),
        "transport_socket": extension(
            "envoy.transport_sockets.tls",
            "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=jwks.host,
            common_tls_context={"validation_context_sds_secret_config": sds_config(_ca(index))},
        ),
    }


def _endpoint(cluster: str, where: Json) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": where}}]}]
    return {"load_assignment": {"cluster_name": cluster, "endpoints": endpoints}}


def sds(stack: InferenceStack) -> dict[str, Json]:
    """Build the SDS files with the rules for the issuers' certificates, by their name in SDS."""
    found: dict[str, Json] = {}
    for index, jwks in _remote(stack).items():
        folder = ca_folder(index)
        trusted: Json = {
            "trusted_ca": {"filename": f"{folder}/{CA_FILE}"},
            "watched_directory": {"path": folder},
        }
        # By kind: sections know no files.
        if isinstance(jwks.ca, ImageCa):
            trusted = {"trusted_ca": {"filename": CA_BUNDLE}}
        trusted["match_typed_subject_alt_names"] = [
            {"san_type": "DNS", "matcher": {"exact": jwks.host}}
        ]
        found[_ca(index)] = {"validation_context": trusted}
    return sds_files(found)


def listeners(stack: InferenceStack) -> list[Json]:
    """Return the `Listener` that answers with the files."""
    mounted = _mounted(stack)
    if not mounted:
        return []
    routes = [
        {
            "match": {"path": f"/{index}"},
            "direct_response": {
                "status": 200,
                "body": {
                    "filename": f"{folder(index)}/{_FILE}",
                    "watched_directory": {"path": folder(index)},
                },
            },
        }
        for index in mounted
    ]
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=CLUSTER,
        codec_type="HTTP1",
        route_config={
            "name": CLUSTER,
            "virtual_hosts": [{"name": CLUSTER, "domains": ["*"], "routes": routes}],
            "max_direct_response_body_size_bytes": _MAX_BYTES,
        },
        http_filters=[
            _start_check(mounted),
            extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
        ],
    )
    return [
        {
            "name": CLUSTER,
            "address": _address(stack),
            "traffic_direction": "OUTBOUND",
            # An overloaded gateway must not forget whom it knows.
            "bypass_overload_manager": True,
            "filter_chains": [{"filters": [manager]}],
        }
    ]


def _start_check(indices: Iterable[int]) -> Json:
    """Build a filter that asks for no token: with its key sets Envoy starts, or ends and says why.

    A gateway that cannot read a key set at its start would refuse all callers of that issuer. An
    earlier gateway still has the keys of an earlier set.
    """
    files = {f"issuer-{index}": f"{folder(index)}/{_FILE}" for index in indices}
    return extension(
        "envoy.filters.http.jwt_authn",
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={name: {"local_jwks": {"filename": file}} for name, file in files.items()},
    )


def mounts(stack: InferenceStack) -> list[Mount]:
    """Return the volumes with the key sets, and with the CA bundles of the issuers' hosts.

    No `subPath`: such a mount keeps its contents from the container's start.
    """
    keys = [
        Mount(name=f"jwks-{index}", path=folder(index), source=key_source(jwks, _FILE))
        for index, jwks in _mounted(stack).items()
    ]
    authorities = [
        Mount(name=_ca(index), path=ca_folder(index), source=key_source(jwks.ca, CA_FILE))
        for index, jwks in _remote(stack).items()
        # By kind: sections know no volumes.
        if not isinstance(jwks.ca, ImageCa)
    ]
    return [*keys, *authorities]
