"""Settings that lock a gateway's port, and certificates, keys and tokens for the way through it."""

import json
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from components.gateway.envoy.protojson import Json

CERTIFICATE_SECRET, CALLERS_SECRET = "gateway-tls", "callers"
"""Secrets of the gateway's certificate, and of the CA of its callers."""

_CALLER = "orchestrator.example"
_ISSUER, _AUDIENCE, _KEY_ID = "https://issuer.example", "inference", "a"
_TOKEN_SECONDS = 3600
_TLS: Json = {"kind": "secret", "secretName": CERTIFICATE_SECRET}


class Material(NamedTuple):
    """PEM files of one certificate authority: a gateway's, and those of a caller."""

    authority: bytes
    certificate: bytes
    key: bytes
    caller_certificate: bytes
    caller_key: bytes


@dataclass(frozen=True, kw_only=True)
class Door:
    """Settings of the gateway that lock its port."""

    encrypted: bool = False
    """True for TLS by a certificate."""
    known: bool = False
    """True for clients with certificates and tokens, limits and the record of their calls."""
    fair: bool = False
    """True for fair shares of the clients."""
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def gateway(self) -> Json:
        """Parameters of the gateway."""
        if not self.encrypted:
            return {}
        if not self.known:
            return {"tls": _TLS}
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        keys = json.dumps({"keys": [{**public, "kid": _KEY_ID}]})
        issuer = {
            "issuer": _ISSUER,
            "audiences": [_AUDIENCE],
            "jwks": {"kind": "inline", "keys": keys},
        }
        clients = {"ca": {"kind": "secret", "name": CALLERS_SECRET}, "names": [_CALLER]}
        return {
            "tls": {**_TLS, "clients": clients},
            # A limit that the loads do not reach: it is looked up for every call.
            "callers": {
                "jwt": {"issuers": [issuer]},
                "limit": {"requestsPerSecond": 1_000_000},
                **({"fairShares": {}} if self.fair else {}),
            },
            "accessLog": {"okShare": 0.01},
        }

    def token(self, caller: str = "orchestrator") -> str:
        """Return a token of a caller."""
        claims: dict[str, Any] = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": caller}
        claims["exp"] = int(time.time()) + _TOKEN_SECONDS
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": _KEY_ID})


OPEN, ENCRYPTED, LOCKED = Door(), Door(encrypted=True), Door(encrypted=True, known=True)
FAIR = Door(encrypted=True, known=True, fair=True)


def issue(server: str) -> Material:
    """Issue the certificates of a gateway and of the caller.

    Args:
        server: DNS name of the gateway.
    """
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    own, caller = authority.issue_cert(server), authority.issue_cert(_CALLER)
    return Material(
        authority.cert_pem.bytes(),
        own.cert_chain_pems[0].bytes(),
        own.private_key_pem.bytes(),
        caller.cert_chain_pems[0].bytes(),
        caller.private_key_pem.bytes(),
    )
