"""Declared objects of a gateway with TLS; tests/envoy/test_tls.py shows that Envoy acts on them."""

from typing import Any

import pulumi
import pytest
import yaml

from components.gateway import component
from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.gateway.envoy.bootstrap import bootstrap
from components.state.contents import Workload
from config.inventory import managed_resources
from config.part import ApiResource
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from config.sizing.capacity import summary
from ops.validate.schema import check_schemas

TLS: dict[str, Any] = {"tls": {"kind": "secret", "secretName": "gateway-certificate"}}
NAMED = {
    "exposure": {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8"],
        "subnetCidrs": ["10.0.0.0/24"],
        "hostName": "a.example.com",
    }
}


def stack_of(**raw: Any) -> InferenceStack:
    return InferenceStack.model_validate(raw)


@pytest.fixture
def made(declare):
    """Declare the gateway of a stack; all that is made."""

    def of(**raw: Any):
        args = EnvoyGatewayArgs(config=stack_of(**raw), prometheus=ManagedPrometheus())
        return declare(lambda: EnvoyGateway("gateway", args))

    return of


def pod(declared) -> dict[str, Any]:
    return declared.one("apps/v1:Deployment")["spec"]["template"]["spec"]


def envoy(declared) -> dict[str, Any]:
    (container,) = pod(declared)["containers"]
    return container


def listener(name: str, **gateway: Any) -> dict[str, Any]:
    listeners = bootstrap(stack_of(gateway=gateway))["static_resources"]["listeners"]
    (found,) = [each for each in listeners if each["name"] == name]
    return found


def test_a_gateway_with_tls_mounts_its_certificate_so_that_kubelet_can_renew_it(made):
    declared = made(gateway=TLS)
    volumes = {volume["name"]: volume for volume in pod(declared)["volumes"]}
    assert volumes["tls"]["secret"] == {
        "secretName": "gateway-certificate",
        "defaultMode": 0o440,
        "items": [{"key": key, "path": key} for key in ("tls.crt", "tls.key")],
    }
    mounts = {mount["mountPath"]: mount for mount in envoy(declared)["volumeMounts"]}
    # A mount with `subPath` keeps its contents from the container's start.
    assert mounts["/etc/envoy/tls"] == {
        "name": "tls",
        "mountPath": "/etc/envoy/tls",
        "readOnly": True,
    }
    assert mounts["/etc/envoy/sds-server.yaml"]["subPath"] == "sds-server.yaml"
    data = declared.one("core/v1:ConfigMap", "gateway-files")["data"]
    (secret,) = yaml.safe_load(data["sds-server.yaml"])["resources"]
    assert secret["tls_certificate"] == {
        "certificate_chain": {"filename": "/etc/envoy/tls/tls.crt"},
        "private_key": {"filename": "/etc/envoy/tls/tls.key"},
        "watched_directory": {"path": "/etc/envoy/tls"},
    }
    (chain,) = listener("grpc", **TLS)["filter_chains"]
    assert chain["transport_socket_connect_timeout"] == "10s"
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]
    (config,) = context["tls_certificate_sds_secret_configs"]
    assert config["name"] == secret["name"]
    assert config["sds_config"]["path_config_source"]["path"] in mounts


def test_probes_and_metrics_stay_in_plain_text_beside_tls(made):
    plain, encrypted = made(), made(gateway=TLS)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert envoy(encrypted)[probe] == envoy(plain)[probe]
    assert listener("ops", **TLS) == listener("ops")


def test_plain_text_beside_tls_has_the_same_filters(made):
    tls = {**TLS["tls"], "acceptPlaintext": "callers change until May"}
    chains = {
        each["filter_chain_match"]["transport_protocol"]: each
        for each in listener("grpc", tls=tls)["filter_chains"]
    }
    (plain,) = listener("grpc")["filter_chains"]
    assert chains["raw_buffer"]["filters"] == chains["tls"]["filters"] == plain["filters"]
    (strict,) = listener("grpc", **TLS)["filter_chains"]
    assert chains["tls"]["transport_socket"] == strict["transport_socket"]
    assert "transport_socket" not in chains["raw_buffer"]
    text = made(gateway={"tls": tls}).one("core/v1:ConfigMap", "gateway-files")["data"]
    assert "&id" not in text["envoy.yaml"]


def test_the_service_names_the_protocol_of_its_port(made):
    (port,) = made(gateway=TLS).one("core/v1:Service")["spec"]["ports"]
    assert port["appProtocol"] == "https"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({}, "envoy-gateway.ai-namespace.svc.cluster.local"),
        (TLS, "envoy-gateway.ai-namespace.svc.cluster.local"),
        (NAMED, "a.example.com"),
        ({"tls": {**TLS["tls"], "serverName": "b.example.com"}}, "b.example.com"),
    ],
)
def test_callers_verify_the_stated_name_or_the_stable_one(raw, name):
    assert stack_of(gateway=raw).server_name == name


CLIENTS: dict[str, Any] = {
    "ca": {"kind": "configMap", "name": "callers", "key": "bundle.pem"},
    "names": ["orchestrator.example.com", "spiffe://example.com/batch"],
}


@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_the_clients_ca_is_mounted_so_that_kubelet_can_change_it(made, kind):
    clients = {**CLIENTS, "ca": {**CLIENTS["ca"], "kind": kind}}
    declared = made(gateway={"tls": {**TLS["tls"], "clients": clients}})
    volumes = {volume["name"]: volume for volume in pod(declared)["volumes"]}
    source = volumes["client-ca"][kind]
    assert source["secretName" if kind == "secret" else "name"] == "callers"
    assert source["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]
    mounts = {mount["name"]: mount for mount in envoy(declared)["volumeMounts"]}
    assert "subPath" not in mounts["client-ca"]
    data = declared.one("core/v1:ConfigMap", "gateway-files")["data"]
    (secret,) = yaml.safe_load(data["sds-clients.yaml"])["resources"]
    assert secret["validation_context"] == {
        "trusted_ca": {"filename": f"{mounts['client-ca']['mountPath']}/ca.crt"},
        "watched_directory": {"path": mounts["client-ca"]["mountPath"]},
        "match_typed_subject_alt_names": [
            {"san_type": "DNS", "matcher": {"exact": "orchestrator.example.com"}},
            {"san_type": "URI", "matcher": {"exact": "spiffe://example.com/batch"}},
        ],
    }


def test_the_stack_keeps_its_own_config_map_and_leaves_the_users_alone(made, monkeypatch):
    """By the workload whose ConfigMaps the next `up` would look for; a serving cluster runs it."""
    collected: list[Workload] = []
    monkeypatch.setattr(component, "collect", lambda *args: collected.append(args[1]))
    keys = {"kind": "configMap", "name": "keys"}
    issuer = {"issuer": "https://issuer.example.com", "audiences": ["a"], "jwks": keys}
    tls = {**TLS["tls"], "clients": CLIENTS}
    declared = made(gateway={"tls": tls, "callers": {"jwt": {"issuers": [issuer]}}})
    own = declared.one("core/v1:ConfigMap", "gateway-files")["metadata"]["name"]
    volumes = pod(declared)["volumes"]
    named = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    assert named == {own, "callers", "keys"}
    assert [workload.mounted for workload in collected] == [{own}]


def test_a_changed_name_rolls_the_gateways_and_a_changed_bundle_does_not(made):
    def files(**clients: Any) -> str:
        tls = {**TLS["tls"], "clients": {**CLIENTS, **clients}}
        volumes = pod(made(gateway={"tls": tls}))["volumes"]
        return volumes[0]["configMap"]["name"]

    assert files(names=["batch.example.com"]) != files()
    assert files(ca={"kind": "secret", "name": "others"}) == files()


@pytest.mark.parametrize("name", ["Orchestrator", "a b", "*.example.com", "spiffe://", "-a"])
def test_what_is_no_name_of_a_client_is_refused(name):
    with pytest.raises(ValueError, match="must be a DNS name such as"):
        stack_of(gateway={"tls": {**TLS["tls"], "clients": {**CLIENTS, "names": [name]}}})


def test_the_summary_says_how_long_a_removed_client_stays():
    settings = Settings()
    tls = {**TLS["tls"], "clients": CLIENTS}
    gateway = {"tls": tls, "maxConnectionSeconds": 100}
    stack = stack_of(gateway=gateway, traffic={"maxStreamSeconds": 60})
    # kubelet 120, age 100 and a fifth, the last GOAWAY 1, and the longest stream.
    assert "ends within 301 s" in summary(settings, stack)
    assert "certificate" not in summary(settings, stack_of(gateway=TLS))


ISSUED: dict[str, Any] = {
    "tls": {"kind": "certManager", "issuer": {"kind": "clusterIssuer", "name": "internal"}}
}


@pytest.mark.parametrize(
    ("exposure", "names"),
    [
        ({}, []),
        (NAMED, ["a.example.com"]),
    ],
)
def test_cert_manager_issues_a_certificate_for_every_name_of_the_gateway(made, exposure, names):
    declared = made(gateway={**ISSUED, **exposure})
    certificate = declared.one("cert-manager.io/v1:Certificate")
    spec = certificate["spec"]
    in_cluster = "envoy-gateway.ai-namespace.svc"
    assert spec["dnsNames"] == [*names, f"{in_cluster}.cluster.local", in_cluster]
    assert stack_of(gateway={**ISSUED, **exposure}).server_name in spec["dnsNames"]
    assert spec["issuerRef"]["kind"] == "ClusterIssuer"
    volumes = {volume["name"]: volume for volume in pod(declared)["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == spec["secretName"] == "envoy-gateway-tls"
    manifest = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", **certificate}
    assert check_schemas([manifest]) == []
    misspelt = {**manifest, "spec": {**spec, "dnsName": "a"}}
    assert check_schemas([misspelt]) != []


def test_two_stacks_of_one_namespace_have_a_certificate_each():
    first, second = (
        stack_of(gateway=ISSUED, namePrefix=prefix).tls_secret_name for prefix in ("", "b-")
    )
    assert (first, second) == ("envoy-gateway-tls", "b-envoy-gateway-tls")


@pytest.mark.parametrize(("raw", "name"), [(ISSUED, "envoy-gateway"), (TLS, ""), ({}, "")])
def test_up_waits_for_the_certificate_that_the_stack_declares(declare, raw, name):
    found: list[str] = []

    def program() -> None:
        args = EnvoyGatewayArgs(config=stack_of(gateway=raw), prometheus=ManagedPrometheus())
        waited = pulumi.Output.from_input(EnvoyGateway("gateway", args).rollout.certificate)
        waited.apply(found.append)

    declare(program)
    assert found == [name]


@pytest.mark.parametrize("raw", [{}, TLS])
def test_only_cert_manager_is_asked_for_a_certificate(made, raw):
    assert not made(gateway=raw).all("cert-manager.io/v1:Certificate")


@pytest.mark.parametrize(("raw", "granted"), [(ISSUED, True), (TLS, False), ({}, False)])
def test_the_user_needs_permission_for_the_certificate_that_the_stack_creates(raw, granted):
    settings = Settings.model_validate({"inference": [{"gateway": raw}]})
    wanted = ApiResource("cert-manager.io", "certificates", "ai-namespace")
    assert (wanted in managed_resources(settings)) is granted


@pytest.mark.parametrize(
    ("hours", "days"),
    [(2160, 14), (2016, 14), (24, 1 / 6)],
)
def test_the_alert_rests_while_cert_manager_renews_in_time(hours, days):
    tls = stack_of(gateway={"tls": {**ISSUED["tls"], "validHours": hours}}).gateway.tls
    assert tls.expiry_warning_seconds == days * 24 * 3600
    # cert-manager renews after two thirds.
    assert tls.expiry_warning_seconds < hours * 3600 / 3
