"""Preflight on certificates: each way in which a Secret can be wrong has one message.

Against recorded answers; tests/envoy/test_tls.py shows the same mistakes to Envoy.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from components.cluster.preflight.certificates import certificates
from components.cluster.preflight.reader import ClusterReader
from config.problem import Problem
from config.settings import Settings
from tests.unit.preflight_api import Api

NAME = "envoy-gateway.ai-namespace.svc.cluster.local"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ECDSA = trustme.KeyType.ECDSA
AUTHORITY = trustme.CA(key_type=ECDSA)
SERVER_PATH, CA_PATH = "/ai-namespace/secrets/gateway-tls", "/ai-namespace/{}/callers"

TLS: dict[str, Any] = {"kind": "secret", "secretName": "gateway-tls"}


def pair(*names: str, **how: Any) -> dict[str, bytes]:
    issued = AUTHORITY.issue_cert(*(names or (NAME,)), key_type=ECDSA, **how)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes()}


def secret(**data: bytes) -> tuple[int, dict[str, Any]]:
    return 200, {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def found(
    server: dict[str, bytes] | int,
    ca: dict[str, str] | int = 404,
    *,
    kind: str = "configMap",
    gateway: dict[str, Any] | None = None,
    **tls: Any,
) -> tuple[list[Problem], int]:
    """Problems with these Secrets, or with these statuses, and the number of notes."""
    answers = {SERVER_PATH: secret(**server) if isinstance(server, dict) else (server, {})}
    path = CA_PATH.format("secrets" if kind == "secret" else "configmaps")
    if isinstance(ca, int):
        answers[path] = (ca, {})
    elif kind == "secret":
        answers[path] = secret(**{key: value.encode() for key, value in ca.items()})
    else:
        answers[path] = (200, {"data": ca})
    stack = {"gateway": {"tls": {**TLS, **tls}, **(gateway or {})}}
    settings = Settings.model_validate({"inference": [stack]})
    reader = ClusterReader(Api(answers))  # pyright: ignore[reportArgumentType]
    problems = list(certificates(settings, "dev", reader))
    return problems, len(list(reader.unreadable(settings.platform)))


def clients(kind: str = "configMap", key: str = "ca.crt") -> dict[str, Any]:
    return {"clients": {"ca": {"kind": kind, "name": "callers", "key": key}}}


BUNDLE = AUTHORITY.cert_pem.bytes().decode()


def with_key(key: Any) -> dict[str, bytes]:
    """A certificate that its own key has signed."""
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, algorithm)
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return {
        "tls.crt": certificate.public_bytes(encoding),
        "tls.key": key.private_bytes(encoding, form, serialization.NoEncryption()),
    }


def locked(key: bytes) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    how = serialization.BestAvailableEncryption(b"password")
    loaded = serialization.load_pem_private_key(key, None)
    return loaded.private_bytes(serialization.Encoding.PEM, form, how)


@pytest.mark.parametrize(
    "server",
    [
        pair(),
        pair("a.example.com", NAME),
        pair("*.ai-namespace.svc.cluster.local"),
        with_key(rsa.generate_private_key(65537, 2048)),
    ],
)
@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_good_certificates_pass(server, kind):
    bundle = {"ca.crt": BUNDLE}
    assert found(server, bundle, kind=kind, **clients(kind)) == ([], 0)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (404, "there is no Secret gateway-tls in ai-namespace"),
        ({}, "its key tls.crt is missing"),
        (pair() | {"tls.crt": b""}, "its key tls.crt is empty"),
        ({"tls.crt": pair()["tls.crt"]}, "its key tls.key is missing"),
        (pair() | {"tls.crt": b"junk"}, "no certificate in PEM form"),
        (pair() | {"tls.crt": b"\xff"}, "its key tls.crt is empty"),
        (pair() | {"tls.key": b"junk"}, "tls.key is no private key in PEM form"),
        (pair() | {"tls.key": locked(pair()["tls.key"])}, "without a password"),
        (pair() | {"tls.key": pair()["tls.key"]}, "the key in tls.key does not match"),
        (pair(not_before=NOW - 3 * DAY, not_after=NOW - DAY), "expired at"),
        (pair(not_before=NOW + DAY), "is valid from"),
        (pair("a.example.com"), f"is for a.example.com, and callers verify {NAME}"),
        (pair("*.svc.cluster.local"), f"callers verify {NAME}"),
        (pair("10.0.0.1"), f"is for no DNS name, and callers verify {NAME}"),
        (with_key(rsa.generate_private_key(65537, 1024)), "Envoy loads RSA keys from 2048 bits"),
        (with_key(ed25519.Ed25519PrivateKey.generate()), "is another one"),
    ],
)
def test_each_wrong_certificate_is_refused_with_one_message(server, says):
    ((problem,), unreadable) = found(server)
    assert (problem.severity, unreadable) == ("refuse", 0)
    assert says in problem.reason
    assert problem.fix
    assert "inference[0].gateway.tls.secretName" in problem.keys


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        (404, "there is no ConfigMap callers in ai-namespace"),
        ({}, "its key ca.crt is missing"),
        ({"ca.crt": ""}, "its key ca.crt is empty"),
        ({"ca.crt": "\n"}, "its key ca.crt is empty"),
        ({"ca.crt": "junk"}, "no certificate in PEM form"),
        ({"ca.crt": pair(not_before=NOW - 3 * DAY, not_after=NOW - DAY)["tls.crt"].decode()},
         "expired at"),
    ],
)  # fmt: skip
def test_each_wrong_bundle_is_refused_with_one_message(bundle, says):
    ((problem,), _) = found(pair(), bundle, **clients())
    assert problem.severity == "refuse"
    assert says in problem.reason
    assert problem.fix
    assert "inference[0].gateway.tls.clients.ca.name" in problem.keys


def test_an_expired_authority_beside_a_valid_one_passes():
    expired = pair(not_before=NOW - 3 * DAY, not_after=NOW - DAY)["tls.crt"].decode()
    assert found(pair(), {"ca.crt": expired + BUNDLE}, **clients()) == ([], 0)


def test_the_stated_name_or_the_stable_one_is_the_one_that_counts():
    server = pair("a.example.com")
    assert found(server, serverName="a.example.com")[0] == []
    exposure = {
        "kind": "internalLoadBalancer",
        "sourceCidrs": ["10.0.0.0/8"],
        "subnetCidrs": ["10.0.0.0/24"],
        "hostName": "a.example.com",
    }
    assert found(server, gateway={"exposure": exposure})[0] == []


def test_what_the_user_may_not_read_is_noted_and_no_obstacle():
    assert found(403, 403, **clients()) == ([], 1)


def test_no_message_shows_a_key():
    server = pair() | {"tls.key": pair()["tls.key"]}
    ((problem,), _) = found(server)
    assert "PRIVATE" not in str(problem)


def test_a_gateway_without_tls_asks_nothing():
    settings = Settings()
    assert list(certificates(settings, "dev", ClusterReader(Api()))) == []  # pyright: ignore[reportArgumentType]


ISSUER = {"kind": "certManager", "issuer": {"kind": "clusterIssuer", "name": "internal"}}
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
UNREADY = {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no key"}]}}
CERT_MANAGER = ("cert-manager.io/v1", "certificates")


@pytest.mark.parametrize(
    ("served", "answer", "severity", "says"),
    [
        ((CERT_MANAGER,), (200, READY), None, ""),
        ((), (200, READY), "refuse", "the cluster has no cert-manager"),
        ((CERT_MANAGER,), (404, {}), "refuse", "there is no ClusterIssuer internal"),
        ((CERT_MANAGER,), (200, UNREADY), "warn", "issues nothing meanwhile: no key"),
        ((CERT_MANAGER,), (200, {"metadata": {}}), "warn", "it has no status"),
        ((CERT_MANAGER,), (403, {}), None, ""),
    ],
)
def test_an_issuer_must_be_there(served, answer, severity, says):
    settings = Settings.model_validate({"inference": [{"gateway": {"tls": ISSUER}}]})
    api: Any = Api({"/clusterissuers/internal": answer}, served=served)
    problems = list(certificates(settings, "dev", ClusterReader(api)))
    assert [problem.severity for problem in problems] == ([severity] if severity else [])
    assert all(says in problem.reason for problem in problems)


def test_an_issuer_of_the_namespace_is_looked_up_there():
    issuer = {**ISSUER, "issuer": {"kind": "issuer", "name": "internal"}}
    settings = Settings.model_validate({"inference": [{"gateway": {"tls": issuer}}]})
    answers = {"/namespaces/ai-namespace/issuers/internal": (200, READY)}
    api: Any = Api(answers, served=(CERT_MANAGER,))
    assert list(certificates(settings, "dev", ClusterReader(api))) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"ca.crt": BUNDLE}, None),
        ({"ca.crt": ""}, "gateways could not fetch the keys of issuer: its key ca.crt is empty"),
        (404, "there is no ConfigMap callers"),
    ],
)
def test_the_bundle_for_an_issuers_host_is_judged_as_the_clients_is(content, says):
    remote = {
        "kind": "remote",
        "uri": "https://issuer.example.com/keys",
        "cidrs": ["192.0.2.0/24"],
        "ca": {"kind": "configMap", "name": "callers"},
    }
    issuer = {"issuer": "issuer", "audiences": ["inference"], "jwks": remote}
    callers = {"callers": {"jwt": {"issuers": [issuer]}}}
    problems, _ = found(pair(), content, gateway=callers)
    assert [says in problem.reason for problem in problems] == [True] * bool(says)
