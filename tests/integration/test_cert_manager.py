"""The gateway's certificate by cert-manager's real controllers, from a CA issuer.

cert-manager's webhook does not run (cert_manager.py). The pods are simulated, so no kubelet mounts
the Secret: its contents are given to the real Envoy by hand.
"""

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from components.common.cert_manager import API_VERSION
from components.gateway.certificate import certificate_spec
from components.gateway.envoy.tls import CERTIFICATE_FILE, KEY_FILE
from components.rollout.status.certificate import unissued
from components.rollout.status.symptom import Symptom
from config.sections.gateway_tls import CertManagerTls
from config.sections.inference import InferenceStack
from tests.envoy.harness.bed import open_bed
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.secrets import Mounts
from tests.envoy.harness.waiting import wait_until
from tests.integration.cert_manager import cert_manager
from tests.integration.checkout import Checkout

CERTIFICATES = f"/apis/{API_VERSION}/namespaces/default/certificates"
HOST_NAME = "inference.example.com"
NAMED = {
    "kind": "internalLoadBalancer",
    "sourceCidrs": ["10.0.0.0/8"],
    "subnetCidrs": ["10.0.0.0/24"],
    "hostName": HOST_NAME,
}

Files = dict[str, bytes]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def issuer(
    started: Checkout, tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[str]:
    """Name of a ClusterIssuer that issues; cert-manager runs."""
    with cert_manager(started, tmp_path_factory.mktemp("cert-manager"), authority) as name:
        yield name


def tls_of(issuer: str) -> Json:
    return {"kind": "certManager", "issuer": {"kind": "clusterIssuer", "name": issuer}}


def certificate(name: str, issuer: str, **gateway: Any) -> Json:
    """The Certificate as the component declares it, under another name."""
    stack = InferenceStack.model_validate({"gateway": {"tls": tls_of(issuer), **gateway}})
    tls = stack.gateway.tls
    assert isinstance(tls, CertManagerTls)
    spec = {**certificate_spec(stack, tls.issuer, tls.valid_hours), "secretName": name}
    return {"kind": "Certificate", "metadata": {"name": name}, "spec": spec}


def read(checkout: Checkout, name: str, namespace: str) -> Files:
    """Contents of a Secret; none if there is no such Secret."""
    ran = checkout.kubectl("get", "secret", name, "-n", namespace, "-o", "json")
    data = json.loads(ran.stdout)["data"] if ran.code == 0 else {}
    return {key: base64.b64decode(value) for key, value in data.items()}


def leaf(files: Files) -> x509.Certificate:
    return x509.load_pem_x509_certificates(files[CERTIFICATE_FILE])[0]


def verify(files: Files, authority: trustme.CA, name: str) -> None:
    """Verify a server's certificate for a name, by the rules of the Web PKI."""
    ca = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    trusting = PolicyBuilder().store(Store([ca]))
    verifier = trusting.build_server_verifier(x509.DNSName(name))
    verifier.verify(leaf(files), x509.load_pem_x509_certificates(files[CERTIFICATE_FILE])[1:])


def test_up_waits_for_the_certificate_and_cert_manager_renews_it_alone(
    issuer: str,
    authority: trustme.CA,
    empty: Checkout,
    found: Callable[..., list[str]],
    document: Json,
    tmp_path: Path,
) -> None:
    stack = InferenceStack.model_validate({"gateway": {"tls": tls_of(issuer)}})
    secret, namespace = str(stack.tls_secret_name), stack.namespace
    empty.set_config(inference=[{"gateway": {"tls": tls_of(issuer)}}])
    empty.up().ok()
    files = read(empty, secret, namespace)
    # No wait: `up` has waited.
    verify(files, authority, stack.server_name)
    usage = leaf(files).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    by_hand = {"gateway": {"tls": {"kind": "secret", "secretName": secret}}}
    assert found(document, inference=[by_hand]) == []

    mounts = Mounts(tmp_path / "mounts")
    mounts.certificate.write({name: files[name] for name in (CERTIFICATE_FILE, KEY_FILE)})
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with (
        open_bed(tmp_path, replicas=1, gateway={"tls": mounts.options}, edit=mounts.edit) as bed,
        GrpcClient(
            bed.gateway.port,
            credentials=trusted,
            ssl_target_name_override=stack.server_name,
        ) as client,
    ):
        assert client.call().code.name == "OK"

    def renewed(before: Files) -> Files:
        def is_another() -> bool:
            now = read(empty, secret, namespace)
            return bool(now) and leaf(now).serial_number != leaf(before).serial_number

        wait_until("the Secret has another certificate", is_another, 60)
        return read(empty, secret, namespace)

    at = ("-n", namespace)
    empty.kubectl(*at, "delete", "secret", secret).ok()
    again = renewed(files)
    # As `cmctl renew` does.
    get = ("get", "certificate", stack.gateway_name, "-o", "json")
    conditions = json.loads(empty.kubectl(*at, *get).ok().stdout)["status"]["conditions"]
    now = {
        "reason": "ManuallyTriggered",
        "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    asked = [*conditions, {"type": "Issuing", "status": "True", **now}]
    patch = (
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": {"conditions": asked}}),
    )
    empty.kubectl(*at, "patch", "certificate", stack.gateway_name, *patch).ok()
    last = renewed(again)
    verify(last, authority, stack.server_name)
    assert len({files[KEY_FILE], again[KEY_FILE], last[KEY_FILE]}) == 3

    # It deletes the Secret with its Certificate, so that nothing keeps the namespace.
    empty.ops("destroy").ok()
    assert read(empty, secret, namespace) == {}


def test_the_balancers_stable_name_is_in_the_certificate(
    issuer: str, authority: trustme.CA, started: Checkout, put: Any, api: Any
) -> None:
    put(CERTIFICATES, certificate("named", issuer, exposure=NAMED), API_VERSION)
    wait_until("it is issued", lambda: not obstacle(api, "named"), 60)
    files = read(started, "named", "default")
    for name in (HOST_NAME, InferenceStack().gateway_host):
        verify(files, authority, name)


def obstacle(api: Any, name: str) -> Symptom | None:
    requests = api.items(f"/apis/{API_VERSION}/namespaces/default/certificaterequests")
    return unissued(api.ask("GET", f"{CERTIFICATES}/{name}"), requests)


@pytest.mark.usefixtures("issuer")
def test_the_reason_is_cert_managers_own_while_it_cannot_issue(
    put: Any, api: Any, found: Callable[..., list[str]], document: Json
) -> None:
    without = {"metadata": {"name": "without-secret"}, "spec": {"ca": {"secretName": "none"}}}
    put(f"/apis/{API_VERSION}/clusterissuers", {"kind": "ClusterIssuer", **without}, API_VERSION)
    for name in ("without-secret", "missing"):
        put(CERTIFICATES, certificate(name, name), API_VERSION)

    def says(words: str, name: str) -> bool:
        return words in str(obstacle(api, name))

    unknown = 'Certificate missing: not issued: Referenced "ClusterIssuer" not found'
    wait_until("it names the missing issuer", partial(says, unknown, "missing"), 60)
    unready = "Certificate without-secret: not issued: Referenced issuer does not have a Ready"
    wait_until("it names the unready issuer", partial(says, unready, "without-secret"), 60)

    stated = [{"gateway": {"tls": tls_of("without-secret")}}]
    warnings = found(document, inference=stated, severity="warn")
    (warning,) = [each for each in warnings if "ClusterIssuer without-secret is not" in each]
    assert '"none" not found' in warning
