"""TLS at the gateway's own port."""

from typing import ClassVar, Literal

from config.base import HostName, ObjectName, Section

TlsVersion = Literal["1.2", "1.3"]
"""A version of TLS that the gateway accepts."""


class NoTls(Section):
    """A gateway whose port takes plain text."""

    secret_name: ClassVar[str | None] = None
    """Secret with the gateway's certificate and key."""

    min_version: ClassVar[TlsVersion | None] = None
    """Oldest version of TLS."""

    server_name: ClassVar[str | None] = None
    """Stated name of the certificate."""

    kind: Literal["none"] = "none"
    """HTTP/2 in plain text (h2c)."""


class SecretTls(Section):
    """A gateway with a certificate that somebody else keeps in a Secret, and renews there."""

    kind: Literal["secret"]
    """A Secret of the user."""

    secret_name: ObjectName
    """Secret of type `kubernetes.io/tls` in the stack's namespace. A renewal reaches the gateways
    by kubelet, within two minutes, without a rollout and without a lost call."""

    min_version: TlsVersion = "1.3"
    """Oldest version of TLS that the gateway accepts."""

    server_name: HostName | None = None
    """DNS name that the certificate is for and that callers verify (output `serverName`). If unset,
    `exposure.hostName`, or the gateway's name in the cluster."""


GatewayTls = NoTls | SecretTls
