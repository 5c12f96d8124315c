"""Key sets of token issuers, which a user or an operator keeps in a Secret or a ConfigMap."""

from collections.abc import Iterable

from components.cluster.preflight.mounted import UnusableError, refused, under_key, value
from components.cluster.preflight.reader import ClusterReader
from config.checks.stack_paths import stacks
from config.jwks import jwks_fault
from config.problem import Problem
from config.sections.gateway_callers import ConfigMapJwks, SecretJwks
from config.settings import Settings


def token_keys(settings: Settings, stack: str, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse key sets with which gateways would not start or would refuse all tokens."""
    for at in stacks(settings):
        for index, issuer in enumerate(at.stack.token_issuers):
            jwks = issuer.jwks
            # By kind: sections know no API objects.
            if not isinstance(jwks, SecretJwks | ConfigMapJwks):
                continue
            is_secret = isinstance(jwks, SecretJwks)
            kind = "Secret" if is_secret else "ConfigMap"
            path = f"gateway.callers.jwt.issuers[{index}].jwks"
            found = under_key(at, stack, path, kind, jwks.name, jwks.key, reader)
            if isinstance(found, Problem):
                yield found
                continue
            if found is None:
                continue
            keys, data = found
            try:
                fault = jwks_fault(value(data, jwks.key), public=not is_secret)
            except UnusableError as error:
                fault = str(error)
            if fault:
                yield refused(
                    keys,
                    f"with the {kind} {jwks.name} in {at.stack.namespace} the gateways would "
                    f"refuse all tokens of {issuer.issuer}: {fault}",
                    f"put the issuer's JSON web key set under its key {jwks.key}",
                )
