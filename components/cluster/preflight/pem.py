"""Certificates and private keys in PEM form, as Envoy and a gateway's callers read them."""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from components.cluster.preflight.mounted import UnusableError
from components.gateway.envoy.tls import KEY_FILE

_MIN_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""Keys that Envoy loads (its `source/common/tls/context_impl.cc` and `server_context_impl.cc`)."""


def chain(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        UnusableError: It holds none.
    """
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise UnusableError("it holds no certificate in PEM form") from None


def require_match(certificate: x509.Certificate, pem: str) -> None:
    """Require a private key, PEM, of a certificate that Envoy loads.

    Raises:
        UnusableError: It is none.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = f"{KEY_FILE} is no private key in PEM form without a password"
        raise UnusableError(what) from None
    if key.public_key() != certificate.public_key():
        raise UnusableError(f"the key in {KEY_FILE} does not match the certificate")
    if isinstance(key, rsa.RSAPrivateKey):
        loads = key.key_size >= _MIN_RSA_BITS
    else:
        loads = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES)
    if not loads:
        raise UnusableError(
            f"Envoy loads RSA keys from {_MIN_RSA_BITS} bits and keys on the curves P-256, P-384 "
            f"and P-521, and {KEY_FILE} is another one"
        )


def is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    """Return True if a certificate is valid at a moment."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def require_valid(certificate: x509.Certificate, now: datetime) -> None:
    """Require a certificate that is valid at a moment.

    Raises:
        UnusableError: It is not valid.
    """
    subject = certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
    if now > certificate.not_valid_after_utc:
        at = certificate.not_valid_after_utc
        raise UnusableError(f"the certificate ({subject}) expired at {at:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        at = certificate.not_valid_before_utc
        raise UnusableError(f"the certificate ({subject}) is valid from {at:%Y-%m-%d %H:%M} UTC")


def dns_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names of a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def covers(pattern: str, name: str) -> bool:
    """Return True if a certificate's name covers a host; `*` is one whole label (RFC 9525, 6.3)."""
    pattern, name = pattern.lower(), name.lower()
    if not pattern.startswith("*."):
        return pattern == name
    return pattern[2:] == name.partition(".")[2]
