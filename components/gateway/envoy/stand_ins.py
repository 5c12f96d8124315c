"""Stand-ins for the files that Envoy reads at its start: valid, and of use to nobody."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

_NAME = "stand-in"


@cache
def _pair() -> tuple[bytes, bytes]:
    """Return a certificate that signs itself, and its key."""
    # Here: most gateways have no TLS, and the library takes time to load.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def _key_set() -> bytes:
    """Return a key set with one symmetric key, which is no secret."""
    return json.dumps({"keys": [{"kty": "oct", "kid": _NAME, "k": "AAAA"}]}).encode()


CONTENTS: Mapping[str, Callable[[], bytes]] = {
    "certificate_chain": lambda: _pair()[0],
    "private_key": lambda: _pair()[1],
    "trusted_ca": lambda: _pair()[0],
    "local_jwks": _key_set,
}
"""Contents by the field of the bootstrap that names the file."""
