"""Key sets from a Secret or a ConfigMap, which Envoy serves to itself.

Envoy never reads the file of a `local_jwks` again. It does read the file of a direct response
again, each time that kubelet moves the folder's `..data` link. So a listener of the gateway answers
with the file, and the filter of tokens fetches it there, as it would from an issuer (ADR 21).
"""

from components.gateway.envoy.protojson import Json, extension, seconds
from components.gateway.envoy.registration import Mount
from components.gateway.envoy.tls import CONFIG_FOLDER, key_source
from config.sections.gateway_callers import ConfigMapJwks, JwtIssuer, SecretJwks
from config.sections.inference import InferenceStack

CLUSTER = "jwks"
"""Name of the cluster, and of the listener behind it."""

_FILE = "jwks.json"
_FETCH_SECONDS = 1
"""Time between two fetches, and longest wait for one."""

_MAX_BYTES = 1024 * 1024
"""Size of the largest ConfigMap or Secret (Kubernetes documentation, "ConfigMaps")."""


def folder(index: int) -> str:
    """Return the folder of the key set of one issuer, in Envoy's container."""
    return f"{CONFIG_FOLDER}/jwks-{index}"


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
    return {
        "remote_jwks": {
            "http_uri": {
                "uri": f"http://{CLUSTER}/{index}",
                "cluster": CLUSTER,
                "timeout": seconds(_FETCH_SECONDS),
            },
            "cache_duration": seconds(_FETCH_SECONDS),
            # The keys in use stay in use while a fetch fails. Callers wait for no fetch but the
            # first: while Envoy starts, its own listener does not answer yet.
            "async_fetch": {
                "fast_listener": True,
                "failed_refetch_duration": seconds(_FETCH_SECONDS),
            },
        }
    }


def _address(stack: InferenceStack) -> Json:
    """Return a socket in the abstract namespace: no port, no file, and only for the pod itself."""
    return {"pipe": {"path": f"@{CLUSTER}-{stack.gateway.admin_port}"}}


def clusters(stack: InferenceStack) -> list[Json]:
    """Return the `Cluster` that leads to the gateway's own listener."""
    if not _mounted(stack):
        return []
    endpoint = {"endpoint": {"address": _address(stack)}}
    return [
        {
            "name": CLUSTER,
            "type": "STATIC",
            "connect_timeout": seconds(_FETCH_SECONDS),
            "load_assignment": {
                "cluster_name": CLUSTER,
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }
    ]


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
            extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
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


def mounts(stack: InferenceStack) -> list[Mount]:
    """Return the volumes with the key sets.

    No `subPath`: such a mount keeps its contents from the container's start.
    """
    return [
        Mount(name=f"jwks-{index}", path=folder(index), source=key_source(jwks, _FILE))
        for index, jwks in _mounted(stack).items()
    ]
