"""The gateway's certificate, as cert-manager issues it."""

from components.common.pods import Manifest
from config.sections.gateway_tls import Issuer
from config.sections.inference import InferenceStack


def certificate_spec(stack: InferenceStack, issuer: Issuer, valid_hours: int) -> Manifest:
    """Build the `spec` of the Certificate.

    Args:
        stack: The inference stack.
        issuer: Issuer that signs it.
        valid_hours: Lifetime of a certificate, hours.
    """
    stable = stack.gateway.exposure.host_name
    # The Service's name as pods of the cluster may spell it, whole or without the domain.
    names = [stack.gateway_host, f"{stack.gateway_name}.{stack.namespace}.svc"]
    return {
        "secretName": stack.tls_secret_name,
        "dnsNames": [*([stable] if stable else []), *names],
        # ECDSA: the gateway's worker signs each handshake (docs/security.md).
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
        "duration": f"{valid_hours}h0m0s",
        "issuerRef": {"group": "cert-manager.io", "kind": issuer.api_kind, "name": issuer.name},
    }
