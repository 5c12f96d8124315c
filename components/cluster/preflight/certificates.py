"""Certificates of gateways with TLS, which the user or cert-manager creates and renews."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from components.cluster.preflight.mounted import (
    UnusableError,
    missing,
    read,
    refused,
    under_key,
    value,
)
from components.cluster.preflight.reader import ClusterReader, dig
from components.common.cert_manager import API_VERSION
from components.gateway.envoy.tls import CERTIFICATE_FILE, KEY_FILE
from config.checks.stack_paths import StackAt, stacks
from config.problem import Problem
from config.sections.gateway_callers import ImageCa, RemoteJwks
from config.sections.gateway_tls import ConfigMapCa, Issuer, SecretCa
from config.settings import Settings


def certificates(settings: Settings, stack: str, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse certificates with which gateways would not start or callers would not connect."""
    now = datetime.now(UTC)
    for at in stacks(settings):
        if at.stack.gateway.tls.issuer:
            yield from _issuer(at, at.stack.gateway.tls.issuer, reader)
        else:
            yield from _own(at, stack, reader, now)
        yield from _bundle(at, stack, reader, now)


def _own(at: StackAt, stack: str, reader: ClusterReader, now: datetime) -> Iterator[Problem]:
    name = at.stack.gateway.tls.secret_name
    if not name:
        return
    keys: dict[str, object] = {at.key("gateway.tls.secretName"): name}
    data = read(at, "Secret", name, reader)
    if data is None:
        return
    if not data:
        yield missing(at, stack, "Secret", name, keys, f"create secret tls {name} --cert --key")
        return
    # Imported here: a stack without TLS need not pay for the X.509 library (0.1 s).
    from components.cluster.preflight import pem

    try:
        chain = pem.chain(value(data, CERTIFICATE_FILE))
        pem.require_match(chain[0], value(data, KEY_FILE))
        for certificate in chain:
            pem.require_valid(certificate, now)
    except UnusableError as error:
        yield refused(
            keys,
            f"the Secret {name} in {at.stack.namespace} cannot serve TLS: {error}",
            "put a certificate and its key into it: kubectl create secret tls --dry-run=client "
            f"-o yaml {name} --cert=<chain> --key=<key> | kubectl -n {at.stack.namespace} apply "
            "-f -",
        )
        return
    wanted, names = at.stack.server_name, pem.dns_names(chain[0])
    if not any(pem.covers(each, wanted) for each in names):
        yield refused(
            {**keys, at.key("gateway.tls.serverName"): at.stack.gateway.tls.server_name},
            f"the certificate in the Secret {name} is for {', '.join(names) or 'no DNS name'}, and "
            f"callers verify {wanted}: each would refuse the connection",
            f"issue it for {wanted}, or state the name that it has as gateway.tls.serverName",
        )


def _issuer(at: StackAt, issuer: Issuer, reader: ClusterReader) -> Iterator[Problem]:
    """Refuse an issuer that would issue nothing; cert-manager creates the Secret."""
    name, kind = issuer.name, issuer.api_kind
    keys: dict[str, object] = {at.key("gateway.tls.issuer.name"): name}
    if not reader.api.serves(API_VERSION, "certificates"):
        yield refused(
            {at.key("gateway.tls.kind"): "certManager"},
            f"the cluster has no cert-manager: it does not serve certificates of {API_VERSION}",
            "install cert-manager first, or name a Secret (kind secret)",
        )
        return
    where = f"namespaces/{at.stack.namespace}/issuers" if kind == "Issuer" else "clusterissuers"
    found = reader.get(f"/apis/{API_VERSION}/{where}/{name}", f"{kind}s of cert-manager")
    if found is None:
        return
    if not found:
        yield refused(
            {**keys, at.key("gateway.tls.issuer.kind"): issuer.kind},
            f"there is no {kind} {name}, and the gateways' pods would wait for its certificate",
            "create it first, or name another one",
        )
        return
    conditions: list[dict[str, str]] = dig(found, "status", "conditions") or []
    if not any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
        why = "; ".join(each.get("message", "") for each in conditions) or "it has no status"
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys,
            reason=f"the {kind} {name} is not ready, and issues nothing meanwhile: {why}",
            fix=f"inspect it: kubectl describe {kind.lower()} {name}",
        )


def _bundles(at: StackAt) -> Iterator[tuple[str, SecretCa | ConfigMapCa, str]]:
    """Yield the CA bundles of a stack: key, bundle, and the consequence of an unusable one."""
    clients = at.stack.gateway.tls.clients
    if clients:
        yield "gateway.tls.clients.ca", clients.ca, "no client could connect"
    for index, issuer in enumerate(at.stack.token_issuers):
        # By kind: only keys that gateways fetch have a host.
        if isinstance(issuer.jwks, RemoteJwks) and not isinstance(issuer.jwks.ca, ImageCa):
            path = f"gateway.callers.jwt.issuers[{index}].jwks.ca"
            yield path, issuer.jwks.ca, f"gateways could not fetch the keys of {issuer.issuer}"


def _bundle(at: StackAt, stack: str, reader: ClusterReader, now: datetime) -> Iterator[Problem]:
    for path, ca, consequence in _bundles(at):
        # By kind: sections know no API objects.
        kind = "Secret" if isinstance(ca, SecretCa) else "ConfigMap"
        found = under_key(at, stack, path, kind, ca.name, ca.key, reader)
        if isinstance(found, Problem):
            yield found
            continue
        if found is None:
            continue
        keys, data = found
        from components.cluster.preflight import pem

        try:
            bundle = pem.chain(value(data, ca.key))
            if not any(pem.is_valid(each, now) for each in bundle):
                pem.require_valid(bundle[0], now)
        except UnusableError as error:
            yield refused(
                keys,
                f"with the CA bundle in the {kind} {ca.name} in {at.stack.namespace} "
                f"{consequence}: {error}",
                f"put the CA certificates, PEM, under its key {ca.key}",
            )
