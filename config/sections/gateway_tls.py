"""TLS at the gateway's own port."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from config.base import HostName, ObjectName, Section

SECRET_LAG_SECONDS = 120
"""Longest time from a change of a Secret or ConfigMap to its files in the pods: kubelet's sync
period and the delay of its cache, a minute each (Kubernetes documentation, "Secrets")."""

TlsVersion = Literal["1.2", "1.3"]
"""A version of TLS that the gateway accepts."""


_WARNING_SECONDS = 14 * 24 * 3600

_URI = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _client_name(value: str) -> str:
    if not _URI.fullmatch(value) and not _DNS_NAME.fullmatch(value):
        raise ValueError(
            "must be a DNS name such as orchestrator.example.com, or a URI such as "
            "spiffe://example.com/orchestrator"
        )
    return value


ClientName = Annotated[str, AfterValidator(_client_name)]
"""Subject alternative name of a client's certificate."""

DataKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
"""Key in a Secret or a ConfigMap."""

Reason = Annotated[str, Field(min_length=1, max_length=500)]
"""Reason for an exception, for its readers."""


def is_uri(name: ClientName) -> bool:
    """Return True if a client's name is a URI, and False if it is a DNS name."""
    return _URI.fullmatch(name) is not None


class SecretCa(Section):
    """A CA bundle in a Secret of the stack's namespace."""

    kind: Literal["secret"]
    """A Secret."""

    name: ObjectName
    """Its name."""

    key: DataKey = "ca.crt"
    """Its key with the certificates, PEM."""


class ConfigMapCa(Section):
    """A CA bundle in a ConfigMap of the stack's namespace."""

    kind: Literal["configMap"]
    """A ConfigMap."""

    name: ObjectName
    """Its name."""

    key: DataKey = "ca.crt"
    """Its key with the certificates, PEM."""


class NamespacedIssuer(Section):
    """An issuer of cert-manager in the stack's namespace."""

    api_kind: ClassVar[str] = "Issuer"
    """Kind of its API object."""

    kind: Literal["issuer"]
    """An Issuer."""

    name: ObjectName
    """Its name."""


class ClusterIssuer(Section):
    """An issuer of cert-manager for the whole cluster."""

    api_kind: ClassVar[str] = "ClusterIssuer"
    """Kind of its API object."""

    kind: Literal["clusterIssuer"]
    """A ClusterIssuer."""

    name: ObjectName
    """Its name."""


Issuer = NamespacedIssuer | ClusterIssuer


class TlsClients(Section):
    """Clients that must present a certificate."""

    ca: SecretCa | ConfigMapCa = Field(discriminator="kind")
    """Authorities that sign the clients' certificates. A change reaches the gateways by kubelet,
    without a rollout; a connection that exists lives on until its age (`maxConnectionSeconds`)."""

    names: tuple[ClientName, ...] = ()
    """Subject alternative names that may call: exact DNS names or URIs. A wildcard in a certificate
    stands for every name that it covers. If empty, every client of `ca` may call. A change rolls
    the gateways."""

    required: bool = True
    """False if clients without a certificate may call, too, as long as they get theirs. A client
    that presents a certificate needs a valid one."""


class NoTls(Section):
    """A gateway whose port takes plain text."""

    is_on: ClassVar[bool] = False
    """True if the port takes TLS."""

    secret_name: ClassVar[str | None] = None
    """Stated Secret with the gateway's certificate and key."""

    min_version: ClassVar[TlsVersion | None] = None
    """Oldest version of TLS."""

    server_name: ClassVar[str | None] = None
    """Stated name of the certificate."""

    clients: ClassVar[TlsClients | None] = None
    """Clients that must present a certificate."""

    issuer: ClassVar[Issuer | None] = None
    """Issuer of the certificate that the stack asks for."""

    expiry_warning_seconds: ClassVar[float] = 0
    """Time before a certificate's end at which an alert fires."""

    kind: Literal["none"] = "none"
    """HTTP/2 in plain text (h2c)."""

    accept_plaintext: Reason | None = None
    """Reason for which callers outside the stack's namespace use plain text. Tiers `staging` and
    `prod` require one if there are such callers and no TLS."""


class _Tls(Section):
    is_on: ClassVar[bool] = True

    min_version: TlsVersion = "1.3"
    """Oldest version of TLS that the gateway accepts."""

    clients: TlsClients | None = None
    """Clients that may call (mutual TLS). If unset, clients need no certificate."""

    accept_plaintext: Reason | None = None
    """Reason for which the port takes plain text beside TLS, as while callers change to TLS. If
    unset, it takes TLS alone."""


class SecretTls(_Tls):
    """A gateway with a certificate that somebody else keeps in a Secret, and renews there."""

    expiry_warning_seconds: ClassVar[float] = _WARNING_SECONDS
    issuer: ClassVar[Issuer | None] = None

    kind: Literal["secret"]
    """A Secret of the user."""

    secret_name: ObjectName
    """Secret of type `kubernetes.io/tls` in the stack's namespace. A renewal reaches the gateways
    by kubelet, within two minutes, without a rollout and without a lost call."""

    server_name: HostName | None = None
    """DNS name that the certificate is for and that callers verify (output `serverName`). If unset,
    `exposure.hostName`, or the gateway's name in the cluster."""


class CertManagerTls(_Tls):
    """A gateway with a certificate that cert-manager issues and renews."""

    secret_name: ClassVar[str | None] = None
    server_name: ClassVar[str | None] = None

    kind: Literal["certManager"]
    """A Certificate of cert-manager, for the gateway's names in the cluster and
    `exposure.hostName`."""

    issuer: Issuer = Field(discriminator="kind")
    """Issuer that signs it; a public one signs no names of the cluster."""

    valid_hours: int = Field(default=2160, ge=1, le=24 * 3650)
    """Lifetime of a certificate, hours; cert-manager renews it after two thirds of that."""

    @property
    def expiry_warning_seconds(self) -> float:
        """Time before a certificate's end at which an alert fires.

        By then cert-manager has failed for at least half of the time that it had for the renewal.
        """
        return min(_WARNING_SECONDS, self.valid_hours * 3600 / 6)


GatewayTls = NoTls | SecretTls | CertManagerTls
