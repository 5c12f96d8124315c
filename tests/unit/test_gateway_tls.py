"""Declared objects of a gateway with TLS; tests/envoy/test_tls.py shows that Envoy acts on them."""

from typing import Any

import pytest
import yaml

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.gateway.envoy.bootstrap import bootstrap
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus

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
    assert mounts["/etc/envoy/sds.yaml"]["subPath"] == "sds.yaml"
    data = declared.one("core/v1:ConfigMap", "gateway-files")["data"]
    (secret,) = yaml.safe_load(data["sds.yaml"])["resources"]
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
