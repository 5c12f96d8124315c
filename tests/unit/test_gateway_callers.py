"""Parameters of callers; tests/envoy shows that Envoy acts on them."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from components.gateway import workload
from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.validate import validate
from config.flows import Addresses, Flow, gateway_flows, gateway_pods
from config.jwks import jwks_fault
from config.load import Refused, parse
from config.sections.gateway_callers import CALLER_HEADER
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from tests.envoy.harness import parts
from tests.envoy.harness.tokens import TokenIssuer

SECRET = {"kty": "oct", "k": "c2VjcmV0"}
REMOTE = {"kind": "remote", "uri": "https://issuer.example.com/keys", "cidrs": ["192.0.2.0/24"]}
KEY = TokenIssuer("issuer").public_key
RSA, OKP = jwt.algorithms.RSAAlgorithm, jwt.algorithms.OKPAlgorithm


def key_set(*keys: object) -> str:
    return json.dumps({"keys": keys})


def rsa_key(bits: int) -> dict[str, Any]:
    return RSA.to_jwk(rsa.generate_private_key(65537, bits).public_key(), as_dict=True)


def ec_key(curve: ec.EllipticCurve) -> dict[str, Any]:
    public = ec.generate_private_key(curve).public_key()
    return jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        rsa_key(2048),
        ec_key(ec.SECP384R1()),
        ec_key(ec.SECP521R1()),
        OKP.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True),
        SECRET,
    ],
    ids=lambda key: key.get("crv", key["kty"]),
)
def test_key_sets_of_every_type_that_envoy_loads_are_accepted(key):
    assert jwks_fault(key_set(key), public=False) is None
    assert jwks_fault(key_set({"kty": "new"}, key), public=False) is None


UNUSABLE = [
    ("", "not JSON"),
    ("-----BEGIN PUBLIC KEY-----", "not JSON"),
    ("[]", 'no list "keys"'),
    ("{}", 'no list "keys"'),
    ('{"keys": {}}', 'no list "keys"'),
    (key_set(), 'no list "keys"'),
    (key_set("a"), "not an object"),
    (key_set({"kty": "DSA"}), '"kty" is not one of'),
    (key_set({**KEY, "crv": "secp256k1"}), '"crv" of the EC key'),
    (key_set({**KEY, "x": "not base64url!"}), '"x" of the EC key is not base64url'),
    (key_set({**KEY, "y": KEY["y"][:20]}), '"y" of the EC key has 15 bytes'),
    (key_set({"kty": "RSA", "n": "AQAB", "e": "AQAB"}), "loads from 256"),
    (key_set({**KEY, "d": KEY["x"]}), "a private key"),
]


@pytest.mark.parametrize(("text", "why"), UNUSABLE)
def test_a_key_set_that_admits_no_token_is_refused(text, why):
    assert why in str(jwks_fault(text, public=False))


def test_a_symmetric_key_belongs_into_a_secret():
    assert "symmetric" in str(jwks_fault(key_set(SECRET), public=True))


def refusal(**callers: Any) -> str:
    with pytest.raises(Refused) as refused:
        parse({"inference": [{"gateway": {"callers": callers}}]})
    return str(refused.value)


def issuer(**changes: Any) -> dict[str, Any]:
    return {"jwt": {"issuers": [{**TokenIssuer("issuer").config(), **changes}]}}


@pytest.mark.parametrize(
    ("callers", "key", "why"),
    [
        ({"jwt": {"issuers": []}}, "callers.jwt.issuers", "at least 1"),
        ({"jwt": {}}, "callers.jwt.issuers", "a value is needed"),
        (issuer(audiences=[]), "issuers[0].audiences", "at least 1"),
        (issuer(jwks={**REMOTE, "uri": "http://a.b/keys"}), "jwks.uri", "https://"),
        (issuer(jwks={**REMOTE, "uri": "https://a.b"}), "jwks.uri", "https://"),
        (issuer(jwks={**REMOTE, "cidrs": []}), "jwks.cidrs", "at least 1"),
        (issuer(issuer=""), "issuers[0].issuer", "must match"),
        (issuer(jwks={"kind": "inline", "keys": "{}"}), "jwks.keys = 2 characters", "no list"),
        (issuer(jwks={"kind": "inline", "keys": key_set(SECRET)}), "jwks.keys", "kind secret"),
    ],
)
def test_what_would_open_or_close_the_gateway_by_mistake_is_refused(callers, key, why):
    message = refusal(**callers)
    assert key in message
    assert why in message
    assert "fix: " in message


def test_without_callers_no_filter_knows_of_names():
    config = bootstrap(InferenceStack())
    assert CALLER_HEADER not in json.dumps(config)
    names = [each["name"] for each in parts.manager(config)["http_filters"]]
    assert names == ["envoy.filters.http.body_size_limit", "envoy.filters.http.router"]


@pytest.mark.parametrize(("host", "port"), [("issuer.example.com", 443), ("a.example:8443", 8443)])
def test_gateways_may_connect_to_the_stated_ranges_of_an_issuer_and_trust_its_name(host, port):
    jwks = {**REMOTE, "uri": f"https://{host}/keys", "cidrs": ["192.0.2.0/24", "198.51.100.0/24"]}
    stack = InferenceStack.model_validate({"gateway": {"callers": issuer(jwks=jwks)}})
    gateway = gateway_pods(stack)
    flows = [flow for flow in gateway_flows(stack, ManagedPrometheus()) if flow.source == gateway]
    wanted = [Flow(gateway, Addresses(cidr), (port,)) for cidr in jwks["cidrs"]]
    assert [flow for flow in flows if isinstance(flow.target, Addresses)] == wanted
    text = workload.config_files(stack)["sds-jwks-ca-0.yaml"]
    assert f"exact: {host.partition(':')[0]}\n" in text
    assert "/etc/ssl/certs/ca-certificates.crt" in text
    assert validate(bootstrap(stack)) == []


@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_a_mounted_key_set_can_change_without_a_rollout(kind):
    stack = InferenceStack.model_validate(
        {"gateway": {"callers": issuer(jwks={"kind": kind, "name": "keys", "key": "a.json"})}}
    )
    files = workload.config_files(stack)
    pod = workload.deployment_spec(stack, files, ManagedPrometheus())["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "jwks-0"]
    assert volume[kind]["secretName" if kind == "secret" else "name"] == "keys"
    assert volume[kind]["items"] == [{"key": "a.json", "path": "jwks.json"}]
    (mount,) = [e for e in pod["containers"][0]["volumeMounts"] if e["name"] == "jwks-0"]
    assert "subPath" not in mount
    listener = bootstrap(stack)["static_resources"]["listeners"][-1]
    (answer,) = parts_of(listener)["route_config"]["virtual_hosts"][0]["routes"]
    assert answer["direct_response"]["body"] == {
        "filename": f"{mount['mountPath']}/jwks.json",
        "watched_directory": {"path": mount["mountPath"]},
    }
    assert validate(bootstrap(stack)) == []


def parts_of(listener: dict[str, Any]) -> dict[str, Any]:
    return listener["filter_chains"][0]["filters"][0]["typed_config"]
