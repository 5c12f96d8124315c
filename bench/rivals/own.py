"""The stack's own gateways on loopback: with an open door, and with a locked one."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bench.loopback import local_bootstrap
from bench.rivals.bed import DNS_PORT, HOST
from components.gateway.envoy.bootstrap import arguments
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.tls import (
    CA_FILE,
    CERTIFICATE_FILE,
    CERTIFICATE_FOLDER,
    CLIENT_CA_FOLDER,
    CONFIG_FOLDER,
    KEY_FILE,
)
from components.gateway.envoy.validate import envoy_path
from components.gateway.workload import BOOTSTRAP_FILE, config_files
from config.sections.inference import InferenceStack

_SERVER, _CALLER = "gateway.example", "orchestrator.example"
_ISSUER, _AUDIENCE, _KEY_ID = "https://issuer.example", "inference", "a"
_TOKEN_SECONDS = 3600
_CA_FILE, _PAIR_FILE = "ca.pem", "client.pem"
_TLS: Json = {"kind": "secret", "secretName": "gateway-tls"}


@dataclass(frozen=True, kw_only=True)
class Door:
    """Settings of the gateway that lock its port, and the client's way through it."""

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
        clients = {"ca": {"kind": "secret", "name": "callers"}, "names": [_CALLER]}
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

    def write(self, folder: Path) -> None:
        """Write certificates and keys where the gateway and the client read them."""
        if not self.encrypted:
            return
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        own, client = authority.issue_cert(_SERVER), authority.issue_cert(_CALLER)
        server = _moved(CERTIFICATE_FOLDER, folder)
        callers = _moved(CLIENT_CA_FOLDER, folder)
        for place in (server, callers):
            Path(place).mkdir(parents=True)
        own.cert_chain_pems[0].write_to_path(f"{server}/{CERTIFICATE_FILE}")
        own.private_key_pem.write_to_path(f"{server}/{KEY_FILE}")
        for path in (f"{callers}/{CA_FILE}", folder / _CA_FILE):
            authority.cert_pem.write_to_path(path)
        client.private_key_and_cert_chain_pem.write_to_path(folder / _PAIR_FILE)

    def client(self, folder: Path) -> dict[str, str]:
        """Return the client's options, for the files that `write` has written."""
        if not self.encrypted:
            return {}
        options = {"ca": str(folder / _CA_FILE), "server-name": _SERVER}
        if self.known:
            options |= {"cert": str(folder / _PAIR_FILE), "token": self.token("orchestrator")}
        return options

    def token(self, caller: str) -> str:
        """Return a token of a caller."""
        claims: dict[str, Any] = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": caller}
        claims["exp"] = int(time.time()) + _TOKEN_SECONDS
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": _KEY_ID})


OPEN, ENCRYPTED, LOCKED = Door(), Door(encrypted=True), Door(encrypted=True, known=True)
FAIR = Door(encrypted=True, known=True, fair=True)


def envoy_command(stack: InferenceStack, folder: Path) -> list[str]:
    """Write the files of a stack's gateway, moved to loopback and a folder; return its command.

    Args:
        stack: The inference stack.
        folder: Existing folder.
    """
    files = config_files(stack)
    files[BOOTSTRAP_FILE] = yaml.safe_dump(local_bootstrap(stack, HOST, DNS_PORT))
    for name, text in files.items():
        (folder / name).write_text(_moved(text, folder))
    return [str(envoy_path()), *arguments(str(folder / BOOTSTRAP_FILE))]


def _moved(text: str, folder: Path) -> str:
    """Return a text, or a path, with the container's folder replaced."""
    return text.replace(CONFIG_FOLDER, str(folder))
