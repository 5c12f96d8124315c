"""Authentication of KEDA to an existing Prometheus (KEDA 2.20, scaler `prometheus`).

No parameter holds a secret: each kind names a Secret in KEDA's namespace and the keys in it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from config.base import ObjectName, Section

CLUSTER_AUTHENTICATION = "ClusterTriggerAuthentication"
"""KEDA's kind with Secrets in KEDA's own namespace, so that KEDA needs access to no others."""

_Key = Annotated[str, Field(min_length=1)]
_Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]


class _Access(Section):
    """Base of every kind; by default it contributes nothing."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Keys of the Secret that the kind names, by the KEDA parameter of each."""
        return {}

    @property
    def authentication_spec(self) -> dict[str, Any] | None:
        """Spec of the ClusterTriggerAuthentication that the stack creates; None for none."""
        return None

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Metadata of KEDA's trigger beside the query."""
        return {}

    def reference(self, made: str) -> dict[str, str] | None:
        """Return the trigger's `authenticationRef`, or None.

        Args:
            made: Name of the ClusterTriggerAuthentication that the stack creates.
        """
        return {"name": made, "kind": CLUSTER_AUTHENTICATION} if self.authentication_spec else None


class NoAccess(_Access):
    """No authentication: the network limits the clients."""

    kind: Literal["none"] = "none"
    """No authentication."""


class _SecretAccess(_Access):
    """A Secret in KEDA's namespace; KEDA needs no access to other namespaces' Secrets."""

    secret: ObjectName
    """Name of a Secret in KEDA's namespace."""

    @property
    def authentication_spec(self) -> dict[str, Any] | None:
        """Spec of the ClusterTriggerAuthentication that the stack creates."""
        return {
            "secretTargetRef": [
                {"parameter": parameter, "name": self.secret, "key": key}
                for parameter, key in self.secret_keys.items()
            ]
        }


class _ServerTrust(_SecretAccess):
    """A Secret that may also hold the authority of the server's certificate."""

    ca_key: _Key | None = None
    """Key of a PEM bundle of the authorities that sign the server's certificate; the authorities of
    the system if unset."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Key of the authority, if it is set."""
        return {"ca": self.ca_key} if self.ca_key else {}


class BearerAccess(_ServerTrust):
    """A bearer token."""

    kind: Literal["bearer"]
    """Bearer token."""

    token_key: _Key = "token"  # noqa: S105 - the name of a key
    """Key of the token."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Keys of the token and of the authority."""
        return {"bearerToken": self.token_key, **super().secret_keys}

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Mode of the trigger."""
        return {"authModes": "bearer"}


class BasicAccess(_ServerTrust):
    """A user and a password."""

    kind: Literal["basic"]
    """User and password."""

    username_key: _Key = "username"
    """Key of the user's name."""

    password_key: _Key = "password"  # noqa: S105 - the name of a key
    """Key of the password."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Keys of user, password and authority."""
        return {
            "username": self.username_key,
            "password": self.password_key,
            **super().secret_keys,
        }

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Mode of the trigger."""
        return {"authModes": "basic"}


class TlsAccess(_SecretAccess):
    """A client certificate."""

    kind: Literal["tls"]
    """Client certificate."""

    cert_key: _Key = "tls.crt"
    """Key of the certificate, PEM."""

    key_key: _Key = "tls.key"
    """Key of its private key, PEM."""

    ca_key: _Key = "ca.crt"
    """Key of a PEM bundle of the authorities that sign the server's certificate."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Keys of certificate, private key and authority."""
        return {"cert": self.cert_key, "key": self.key_key, "ca": self.ca_key}

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Mode of the trigger."""
        return {"authModes": "tls"}


class HeaderAccess(_SecretAccess):
    """A header with a secret value, such as an API key."""

    kind: Literal["header"]
    """Header with a secret value."""

    name_key: _Key = "name"
    """Key of the header's name."""

    value_key: _Key = "value"
    """Key of the header's value."""

    @property
    def secret_keys(self) -> Mapping[str, str]:
        """Keys of the header's name and value."""
        return {"customAuthHeader": self.name_key, "customAuthValue": self.value_key}

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Mode of the trigger."""
        return {"authModes": "custom"}


class SigV4Access(_Access):
    """Signed requests, for Amazon Managed Service for Prometheus."""

    kind: Literal["awsSigV4"]
    """Requests signed with the AWS identity of KEDA's operator (Pod Identity or IRSA)."""

    region: _Region
    """AWS region of the workspace."""

    role_arn: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$"
    )
    """IAM role that KEDA's identity assumes; its own role if unset."""

    @property
    def authentication_spec(self) -> dict[str, Any] | None:
        """Spec of the ClusterTriggerAuthentication that the stack creates."""
        role = {"roleArn": self.role_arn} if self.role_arn else {}
        return {"podIdentity": {"provider": "aws", **role}}

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Region of the signature; KEDA refuses `authModes` beside a pod identity."""
        return {"awsRegion": self.region}


class SharedAccess(_Access):
    """An authentication object that the platform team created."""

    kind: Literal["triggerAuthentication"]
    """Existing TriggerAuthentication or ClusterTriggerAuthentication."""

    name: ObjectName
    """Name of the authentication object."""

    cluster: bool = True
    """True for a ClusterTriggerAuthentication, false for a TriggerAuthentication in the stack's
    namespace."""

    auth_modes: tuple[Literal["basic", "bearer", "tls", "custom"], ...] = ()
    """KEDA's authentication modes that it holds parameters for; none with a pod identity."""

    aws_region: _Region | None = None
    """AWS region of signed requests, if its pod identity signs them."""

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Modes and region of the trigger."""
        modes = {"authModes": ",".join(self.auth_modes)} if self.auth_modes else {}
        return modes | ({"awsRegion": self.aws_region} if self.aws_region else {})

    def reference(self, made: str) -> dict[str, str] | None:  # noqa: ARG002 - nothing is made
        """Return the trigger's `authenticationRef`."""
        return {"name": self.name} | ({"kind": CLUSTER_AUTHENTICATION} if self.cluster else {})


PrometheusAccess = (
    NoAccess | BearerAccess | BasicAccess | TlsAccess | HeaderAccess | SigV4Access | SharedAccess
)
