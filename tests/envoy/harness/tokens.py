"""An issuer of tokens: its key, its published key set, and what it signs."""

import json
import time
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "inference"


class TokenIssuer:
    """Signs tokens by ES256 with one key."""

    def __init__(self, name: str, key_id: str = "a") -> None:
        self.name = name
        self.key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def public_key(self) -> dict[str, Any]:
        """The public key, a JSON web key."""
        key = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**key, "kid": self.key_id}

    @property
    def jwks(self) -> str:
        """The key set that it publishes."""
        return key_set(self)

    def config(self, jwks: dict[str, Any] | None = None) -> dict[str, Any]:
        """This issuer in a stack's parameters."""
        inline = {"kind": "inline", "keys": self.jwks}
        return {"issuer": self.name, "audiences": [AUDIENCE], "jwks": jwks or inline}

    def token(self, **claims: Any) -> str:
        """Sign a token that is valid for an hour; `claims` replace or add (None removes)."""
        standard = {"iss": self.name, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
        merged = {**standard, "sub": "orchestrator", **claims}
        kept = {name: value for name, value in merged.items() if value is not None}
        return jwt.encode(kept, self._key, algorithm="ES256", headers={"kid": self.key_id})


def key_set(*issuers: TokenIssuer) -> str:
    """Publish the keys of several in one set."""
    return json.dumps({"keys": [each.public_key for each in issuers]})


def bearer(token: str) -> dict[str, Any]:
    """Arguments of a call with a token."""
    return {"metadata": (("authorization", f"Bearer {token}"),)}
