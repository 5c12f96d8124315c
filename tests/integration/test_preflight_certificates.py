"""Preflight on certificates, on a real API server, which also tries a pod that mounts them.

tests/unit/test_preflight_certificates.py has each way in which they can be wrong.
"""

import base64

import trustme
import yaml

from components.common.cert_manager import API_VERSION
from components.gateway.certificate import certificate_spec
from config.sections.gateway_tls import CertManagerTls
from config.sections.inference import InferenceStack
from local_cluster import toolchain
from tests.envoy.harness.secrets import NAME, TLS, pair
from tests.envoy.harness.waiting import wait_until

CLIENTS = {"ca": {"kind": "configMap", "name": "callers"}}
STACK = {"gateway": {"tls": {**TLS, "clients": CLIENTS}}}


def test_the_secret_and_the_bundle_must_be_there_and_fit(put, found, document, ai_namespace):
    authority = trustme.CA()
    secret, bundle = found(document, inference=[STACK])
    assert "there is no Secret gateway-tls in ai-namespace" in secret
    assert "there is no ConfigMap callers in ai-namespace" in bundle

    files = {key: base64.b64encode(value).decode() for key, value in pair(authority, NAME).items()}
    metadata = {"metadata": {"name": "gateway-tls"}}
    put(f"{ai_namespace}/secrets", {**metadata, "type": "kubernetes.io/tls", "data": files})
    callers = {"metadata": {"name": "callers"}}
    put(f"{ai_namespace}/configmaps", {**callers, "data": {"ca.crt": ""}})
    (empty,) = found(document, inference=[STACK])
    assert "its key ca.crt is empty" in empty


ISSUED = {
    "gateway": {
        "tls": {"kind": "certManager", "issuer": {"kind": "clusterIssuer", "name": "internal"}}
    }
}
CRDS = ("certificate-crd", "clusterissuer-crd")


def test_cert_managers_own_definitions_take_the_certificate(
    put, found, document, api, ai_namespace
):
    """Without its controllers."""
    (without,) = found(document, inference=[ISSUED])
    assert "the cluster has no cert-manager" in without
    for file in toolchain.ensure(*CRDS).values():
        definition = yaml.safe_load(file.read_text())
        put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition,
            "apiextensions.k8s.io/v1",
        )
        plural = definition["spec"]["names"]["plural"]
        wait_until("it is served", lambda plural=plural: api.serves(API_VERSION, plural), 60)
    (missing,) = found(document, inference=[ISSUED])
    assert "there is no ClusterIssuer internal" in missing
    issuer = {"kind": "ClusterIssuer", "metadata": {"name": "internal"}, "spec": {"selfSigned": {}}}
    put(f"/apis/{API_VERSION}/clusterissuers", issuer, API_VERSION)
    assert found(document, inference=[ISSUED]) == []

    stack = InferenceStack.model_validate(ISSUED)
    tls = stack.gateway.tls
    assert isinstance(tls, CertManagerTls)
    certificate = {
        "apiVersion": API_VERSION,
        "kind": "Certificate",
        "metadata": {"name": "envoy-gateway"},
        "spec": certificate_spec(stack, tls.issuer, tls.valid_hours),
    }
    path = ai_namespace.replace("/api/v1", f"/apis/{API_VERSION}")
    strict = f"{path}/certificates?dryRun=All&fieldValidation=Strict"
    answer = api.send("POST", strict, certificate)
    assert answer.ok, answer.message
    # What is written is what is kept: a second `up` finds no difference.
    assert answer.body["spec"] == certificate["spec"]
