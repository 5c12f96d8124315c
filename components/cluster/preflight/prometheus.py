"""The scaler's metrics: a Prometheus that KEDA can query, and a query that returns load."""

import base64
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from components.autoscaler.queries import scaler_query
from components.cluster.port_forward import ForwardError, forwarded
from components.cluster.preflight.reader import ClusterReader, dig
from components.gateway.envoy.stats import REQUESTS_ACTIVE, cluster_selector
from config.checks.stack_paths import stacks
from config.problem import Finding, Problem
from config.sections.prometheus import ExistingPrometheus
from config.settings import Settings

ANSWER_SECONDS = 10.0
"""Time limit for Prometheus to answer the scaler's query."""

_IN_CLUSTER = re.compile(
    r"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(?P<svc>\.svc(\.cluster\.local)?)?\.?"
)
_ADDRESS = "prometheus.address"
_ACCESS = "prometheus.authentication"


class _Answer(NamedTuple):
    status: int
    body: dict[str, Any]

    @property
    def result(self) -> list[dict[str, Any]] | None:
        """Series of the answer; None if it has none to show."""
        found = dig(self.body, "data", "result") if self.status == 200 else None
        return found if isinstance(found, list) else None  # pyright: ignore[reportUnknownVariableType]


def prometheus(settings: Settings, reader: ClusterReader) -> Iterator[Problem]:
    """Refuse a Prometheus that KEDA cannot query, and warn of a query without a result."""
    for finding in _failing_scalers(settings, reader):
        yield Problem(check="preflight", severity="warn", **vars(finding))
    stated = settings.prometheus
    # By kind: the stack's own Prometheus does not exist yet.
    if isinstance(stated, ExistingPrometheus):
        for finding in _existing(settings, stated, reader):
            yield Problem(check="preflight", severity="refuse", **vars(finding))


def _failing_scalers(settings: Settings, reader: ClusterReader) -> Iterator[Finding]:
    for at in stacks(settings):
        stack = at.stack
        path = f"/apis/keda.sh/v1alpha1/namespaces/{stack.namespace}/scaledobjects"
        scaler = reader.get(f"{path}/{stack.scaler_name}", f"ScaledObjects in {stack.namespace}")
        triggers: dict[str, dict[str, Any]] = dig(scaler, "status", "health") or {}
        for health in triggers.values():
            if health.get("status") == "Failing":
                yield Finding(
                    keys={_ADDRESS: settings.prometheus.address},
                    reason=(
                        f"the scaler {stack.scaler_name} in {stack.namespace} sees no load: KEDA's "
                        f"last {health.get('numberOfFailures')} queries failed, and the fleet "
                        "keeps its size"
                    ),
                    fix="see KEDA's operator log for Prometheus's answer, and correct the address "
                    "or the authentication",
                )


def _existing(
    settings: Settings, stated: ExistingPrometheus, reader: ClusterReader
) -> Iterator[Finding]:
    values, wrong = _secret(settings, stated, reader)
    yield from wrong
    url = urlsplit(stated.address)
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    place = _IN_CLUSTER.fullmatch(url.hostname or "")
    service: dict[str, Any] | None = None
    if place:
        path = f"/api/v1/namespaces/{place['namespace']}/services/{place['service']}"
        service = reader.get(path, f"Services in {place['namespace']}")
        if service == {} and place["svc"]:
            yield Finding(
                keys={_ADDRESS: stated.address},
                reason=f"there is no Service {place['service']} in {place['namespace']}: the "
                "scaler would see no load",
                fix="name the Service of an existing Prometheus",
            )
            return
    ports: list[dict[str, Any]] = dig(service, "spec", "ports") or []
    if service and port not in [known.get("port") for known in ports]:
        yield Finding(
            keys={_ADDRESS: stated.address},
            reason=f"the Service {url.hostname} has no port {port}; it has "
            f"{', '.join(str(known.get('port')) for known in ports)}",
            fix="name the port of the Service at the end of the address",
        )
        return
    # By kind: only KEDA can use these keys and identities, so preflight cannot try them.
    if values is None or stated.authentication.kind in ("tls", "awsSigV4", "triggerAuthentication"):
        return
    for at in stacks(settings):
        query = scaler_query(at.stack, stated)
        gateways = REQUESTS_ACTIVE + cluster_selector(at.stack.envoy_cluster)
        try:
            with contextlib.ExitStack() as way:
                local = None
                if service and place:
                    to = (reader.api.target, place["namespace"], place["service"], port)
                    local = way.enter_context(forwarded(*to))
                answer = series = _ask(url, local, stated.headers, values, query)
                if answer.result == []:
                    series = _ask(url, local, stated.headers, values, gateways)
        except ssl.SSLCertVerificationError as error:
            yield Finding(
                keys={_ADDRESS: stated.address},
                reason=f"its certificate is not trusted ({error.verify_message}), by KEDA neither",
                fix="put the certificate authority into the Secret, and name its key "
                f"({_ACCESS}.caKey)",
            )
            return
        except (ForwardError, OSError, http.client.HTTPException) as error:
            reader.note(f"the answer of {stated.address} to the scaler's query ({error})")
            return
        if finding := _rejection(stated, answer) or _unlabelled(stated, series):
            yield finding
            return


def _secret(
    settings: Settings, stated: ExistingPrometheus, reader: ClusterReader
) -> tuple[Mapping[str, str] | None, list[Finding]]:
    """Return the Secret's values by KEDA's parameters (None if not readable), and findings."""
    access, namespace = stated.authentication, settings.keda.namespace
    name = getattr(access, "secret", None)
    if not name:
        return {}, []
    found = reader.get(f"/api/v1/namespaces/{namespace}/secrets/{name}", f"Secrets in {namespace}")
    if found is None:
        return None, []
    keys: dict[str, object] = {f"{_ACCESS}.secret": name, "keda.namespace": namespace}
    if not found:
        reason = f"there is no Secret {name} in {namespace}, where KEDA reads it"
        return None, [Finding(keys=keys, reason=reason, fix="create it there")]
    data: dict[str, str] = found.get("data") or {}
    missing = [key for key in access.secret_keys.values() if not data.get(key)]
    if missing:
        reason = f"the Secret {name} in {namespace} holds no {', '.join(missing)}"
        fix = f"add it, or name the key under {_ACCESS}; it holds {', '.join(data) or 'nothing'}"
        return None, [Finding(keys=keys, reason=reason, fix=fix)]
    decoded = {
        parameter: base64.b64decode(data[key]).decode(errors="replace")
        for parameter, key in access.secret_keys.items()
    }
    return decoded, []


def _ask(
    url: SplitResult,
    local: int | None,
    headers: Mapping[str, str],
    values: Mapping[str, str],
    query: str,
) -> _Answer:
    """Send the query as KEDA does, directly or through a forwarded port."""
    host = url.hostname or ""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    sent = {**headers, "Host": url.netloc}
    if token := values.get("bearerToken"):
        sent["Authorization"] = f"Bearer {token}"
    elif "username" in values:
        both = f"{values['username']}:{values['password']}".encode()
        sent["Authorization"] = f"Basic {base64.b64encode(both).decode()}"
    elif name := values.get("customAuthHeader"):
        sent[name] = values["customAuthValue"]
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    to = (host, port) if local is None else ("127.0.0.1", local)
    connection.sock = socket.create_connection(to, ANSWER_SECONDS)
    try:
        if url.scheme == "https":
            trusted = ssl.create_default_context(cadata=values.get("ca"))
            connection.sock = trusted.wrap_socket(connection.sock, server_hostname=host)
        path = f"{url.path.rstrip('/')}/api/v1/query?query={quote(query)}"
        connection.request("GET", path, headers=sent)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return _Answer(response.status, body if isinstance(body, dict) else {})


def _rejection(stated: ExistingPrometheus, answer: _Answer) -> Finding | None:
    if answer.status == 200 and answer.body.get("status") == "success":
        return None
    # By kind: the wording of the fix.
    kind = stated.authentication.kind
    keys: dict[str, object] = {_ADDRESS: stated.address, f"{_ACCESS}.kind": kind}
    error = str(answer.body.get("error") or "")
    reason = f"to the scaler's query it answers {answer.status}{f': {error}' if error else ''}"
    if answer.status in (401, 403):
        fix = (
            "state prometheus.authentication, with a Secret in KEDA's namespace"
            if kind == "none"
            else f"correct the Secret that {_ACCESS} names, or its kind"
        )
    elif answer.status in (400, 422):
        fix = "state its required headers, such as the tenant (prometheus.headers: X-Scope-OrgID)"
    else:
        fix = "name the base URL of a Prometheus, under which /api/v1/query answers"
    return Finding(keys=keys, reason=f"{reason}; the scaler would see no load", fix=fix)


def _unlabelled(stated: ExistingPrometheus, answer: _Answer) -> Finding | None:
    """Find labels that the scaler's query matches, and that the gateways' series do not have."""
    names = {key for series in answer.result or () for key in series.get("metric") or ()}
    # The sum that the scaler asks for has no labels, and shows load.
    if not names:
        return None
    keys: dict[str, object] = {}
    missing = [name for name in (stated.namespace_label, *stated.matchers) if name not in names]
    if stated.namespace_label in missing:
        keys["prometheus.namespaceLabel"] = stated.namespace_label
    if not stated.matchers.keys().isdisjoint(missing):
        keys["prometheus.matchers"] = stated.matchers
    if not keys:
        return None
    return Finding(
        keys=keys,
        reason=(
            f"the gateways' series there have no label {' and '.join(missing)}: "
            "the scaler's query would find none of them, and see no load"
        ),
        fix=f"name labels that they have: {', '.join(sorted(names - {'__name__'}))}",
    )
