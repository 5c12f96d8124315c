"""A filter or a cluster that registers itself reaches every place of the gateway."""

import pytest

from components.gateway import workload
from components.gateway.envoy import validate
from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.clusters import registry as clusters
from components.gateway.envoy.filters import registry as filters
from components.gateway.envoy.protojson import Json, address, typed
from components.gateway.envoy.registration import Cluster, HttpFilter, Mount, RouteName
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from tests.envoy.harness import parts

GUARDED = InferenceStack(name_prefix="guarded-")
OPEN = InferenceStack()
JWT = "envoy.filters.http.jwt_authn"
TOKENS = Mount(name="jwks", path="/etc/jwks", source={"secret": {"secretName": "jwks"}})
CERTIFICATES = Mount(name="tls", path="/etc/tls", source={"secret": {"secretName": "tls"}})


def is_guarded(stack: InferenceStack) -> bool:
    return stack is GUARDED


def jwt(_: InferenceStack) -> Json:
    provider = {
        "issuer": "issuer",
        "local_jwks": {"filename": f"{TOKENS.path}/keys.json"},
    }
    return typed(
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"issuer": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    )


def open_route(_: InferenceStack, route: RouteName) -> Json | None:
    if route != "unknown":
        return None
    return typed("extensions.filters.http.jwt_authn.v3.PerRouteConfig", disabled=True)


UNAUTHENTICATED: Json = {
    "filter": {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": 401, "runtime_key": "no_token"}}
        }
    },
    "body": {"inline_string": "the call carries no token"},
}


def cluster(name: str) -> Json:
    endpoint = {"endpoint": {"address": address("127.0.0.1", 9)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


REMOVED: Json = {"remove": "x-issuer"}

STAND_IN_FILTER = HttpFilter(
    name=JWT,
    is_on=is_guarded,
    config=jwt,
    early_mutations=lambda _: [REMOVED],
    route_config=open_route,
    local_replies=lambda _: [UNAUTHENTICATED],
    clusters=lambda _: [cluster("issuer")],
    mounts=lambda _: [TOKENS],
)

STAND_IN_CLUSTER = Cluster(
    is_on=is_guarded, config=lambda _: cluster("collector"), mounts=lambda _: [CERTIFICATES]
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(filters, "FILTERS", (STAND_IN_FILTER, *filters.FILTERS))
    monkeypatch.setattr(clusters, "CLUSTERS", (*clusters.CLUSTERS, STAND_IN_CLUSTER))


def chain(stack: InferenceStack) -> list[str]:
    return [each["name"] for each in parts.manager(bootstrap(stack))["http_filters"]]


def cluster_names(stack: InferenceStack) -> list[str]:
    return [each["name"] for each in bootstrap(stack)["static_resources"]["clusters"]]


def route_configs(stack: InferenceStack) -> dict[str, Json]:
    routes = parts.virtual_host(bootstrap(stack))["routes"]
    return {route["name"]: route.get("typed_per_filter_config", {}) for route in routes}


def local_replies(stack: InferenceStack) -> list[Json]:
    return parts.manager(bootstrap(stack))["local_reply_config"]["mappers"]


def pod(stack: InferenceStack) -> Json:
    files = workload.config_files(stack)
    return workload.deployment_spec(stack, files, ManagedPrometheus())["template"]["spec"]


def mounted(stack: InferenceStack) -> dict[str, str]:
    (envoy,) = pod(stack)["containers"]
    return {mount["name"]: mount["mountPath"] for mount in envoy["volumeMounts"]}


def test_a_registered_filter_takes_its_place_in_the_chain():
    assert chain(GUARDED) == [JWT, *chain(OPEN)]
    assert parts.manager(bootstrap(GUARDED))["http_filters"][0]["typed_config"] == jwt(GUARDED)


def test_a_registered_filter_changes_requests_before_all_filters():
    (early,) = parts.manager(bootstrap(GUARDED))["early_header_mutation_extensions"]
    assert early["typed_config"]["mutations"] == [REMOVED]
    assert "early_header_mutation_extensions" not in parts.manager(bootstrap(OPEN))


def test_the_router_ends_the_chain():
    assert chain(GUARDED)[-1] == chain(OPEN)[-1] == "envoy.filters.http.router"


def test_a_registered_filter_configures_the_routes_that_it_names():
    guarded, plain = route_configs(GUARDED), route_configs(OPEN)
    assert guarded["unknown"] == {**plain["unknown"], JWT: open_route(GUARDED, "unknown")}
    assert JWT not in plain["unknown"]
    assert [guarded[name] for name in ("stream", "expired", "unary")] == [
        plain[name] for name in ("stream", "expired", "unary")
    ]


def test_a_registered_filter_words_its_own_answers():
    assert local_replies(GUARDED) == [UNAUTHENTICATED, *local_replies(OPEN)]


def test_clusters_of_the_registry_come_before_those_that_filters_call():
    assert cluster_names(OPEN) == ["ai_inference_cluster", "admin"]
    assert cluster_names(GUARDED)[1:] == ["admin", "collector", "issuer"]


def test_volumes_that_filters_and_clusters_read_are_mounted():
    wanted = {mount.name: mount.path for mount in (TOKENS, CERTIFICATES)}
    assert mounted(GUARDED) == {**mounted(OPEN), **wanted}
    volumes = pod(GUARDED)["volumes"]
    for mount in (TOKENS, CERTIFICATES):
        assert {"name": mount.name, **mount.source} in volumes
    assert not wanted.keys() & {volume["name"] for volume in pod(OPEN)["volumes"]}


def test_types_of_a_registered_filter_are_found_by_their_names(monkeypatch):
    """No list of protobuf modules has to know of the filter."""
    monkeypatch.setattr(validate.sys, "platform", "darwin")
    assert any("not their values" in note for note in validate.validate(bootstrap(GUARDED)))


def test_a_type_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setattr(validate.sys, "platform", "darwin")
    config = bootstrap(OPEN)
    parts.manager(config)["http_filters"][-1]["typed_config"] = typed("no.such.v3.Filter")
    with pytest.raises(validate.BootstrapError, match=r"envoy\.no\.such\.v3\.Filter"):
        validate.validate(config)
