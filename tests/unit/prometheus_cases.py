"""Mutations for the checks of Prometheus: its address, its authentication, its Alertmanager."""

from typing import Any

from tests.unit.case import Case

WATCHED = {"prometheus": {"kind": "existing", "address": "http://p.m.svc:9090", "namespace": "m"}}


ALERTED = {
    "prometheus": {
        "kind": "managed",
        "alertmanager": {"addresses": ["http://alerts.m.svc:9093"], "namespace": "m"},
    }
}


def asked_by(kind: str) -> dict[str, Any]:
    """A Prometheus that asks who asks."""
    access = {"kind": kind, "secret": "metrics"}
    watched = {**WATCHED["prometheus"], "address": "https://p.m.svc:9090", "authentication": access}
    return {"prometheus": watched}


MANAGED_BY_AWS = {
    "prometheus": {
        "kind": "existing",
        "address": "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1",
        "namespace": "m",
        "authentication": {"kind": "awsSigV4", "region": "eu-central-1"},
    }
}

PROMETHEUS_CASES = [
    Case("prometheusAddress", "prometheus.address", "https://me:pw@m.example.com", "a password",
         WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://p.m.svc:9090?team=a",
         "part of the query", WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://p.m.svc:9090/api/v1/query",
         "must be the base URL", WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://p.m.svc:9090/graph",
         "must be the base URL", WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://localhost:9090", "the pod itself",
         WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://[::1]:9090", "the pod itself", WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://prometheus:9090", "their own namespace",
         WATCHED),
    Case("prometheusAddress", "prometheus.address", "http://p.m.svc:99090", "port", WATCHED),
    Case("prometheusMatchers", "prometheus.matchers", {"namespace": "a"},
         "itself matches namespace", WATCHED),
    Case("prometheusMatchers", "prometheus.matchers", {"cluster_name": "a"},
         "itself matches cluster_name", WATCHED),
    Case("alertmanagerAddress", "prometheus.alertmanager.addresses", ["http://alerts:9093"],
         "Prometheus's pods look up the name alerts in their own namespace", ALERTED),
    Case("alertmanagerAddress", "prometheus.alertmanager.addresses", ["http://localhost:9093"],
         "in Prometheus's pods localhost is the pod itself", ALERTED),
    Case("prometheusAccess", "prometheus.address",
         "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1", "signed requests",
         WATCHED),
    Case("prometheusAccess", "prometheus.authentication.region", "eu-west-1", "is in eu-central-1",
         MANAGED_BY_AWS),
    Case("prometheusAccess", "prometheus.address",
         "https://aps-workspaces.eu-central-1.amazonaws.com", "does not name a workspace",
         MANAGED_BY_AWS),
    Case("prometheusAccess", "prometheus.address", "http://p.m.svc:9090",
         "an encrypted connection", asked_by("tls")),
    Case("prometheusAccess", "prometheus.headers", {"Authorization": "Bearer"}, "in plain text",
         WATCHED),
    Case("prometheusPlainText", "prometheus.address", "http://p.m.svc:9090", "in clear text",
         asked_by("basic")),
]  # fmt: skip
