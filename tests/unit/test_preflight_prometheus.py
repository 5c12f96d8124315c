"""Preflight on the labels of an existing Prometheus, which answers from recorded series.

tests/integration/test_preflight_prometheus.py asks a real one.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.cluster.preflight.prometheus import prometheus
from components.cluster.preflight.reader import ClusterReader
from config.problem import Problem
from config.settings import Settings
from tests.unit.preflight_api import Api

GATEWAY = {"__name__": "envoy_cluster_upstream_rq_active", "cluster_name": "ai_inference_cluster"}


class Server(HTTPServer):
    """Answers a sum with `total`, and any other query with `series`."""

    total: list[dict[str, Any]]
    series: list[dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        (query,) = parse_qs(urlsplit(self.path).query)["query"]
        result = self.server.total if query.startswith("sum(") else self.server.series
        body = json.dumps({"status": "success", "data": {"result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        found.total, found.series = [], []
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def problems(server: Server, **stated: Any) -> list[Problem]:
    address = f"http://127.0.0.1:{server.server_port}"
    raw = {"kind": "existing", "address": address, "namespace": "m", **stated}
    platform = {"kind": "stackReference", "stack": "organization/platform/prod"}
    settings = Settings.model_validate({"prometheus": raw, "platform": platform})
    reader = ClusterReader(Api())  # pyright: ignore[reportArgumentType]
    found = list(prometheus(settings, reader))
    assert list(reader.unreadable(settings.platform)) == []
    return found


def test_series_without_the_namespaces_label_are_refused(server: Server):
    server.series = [{"metric": {**GATEWAY, "kubernetes_namespace": "ai-namespace", "pod": "g"}}]
    (problem,) = problems(server)
    assert problem.severity == "refuse"
    assert problem.keys == {"prometheus.namespaceLabel": "namespace"}
    assert "have no label namespace: the scaler's query would find none" in problem.reason
    assert problem.fix.endswith("cluster_name, kubernetes_namespace, pod")
    assert problems(server, namespaceLabel="kubernetes_namespace") == []


def test_matchers_that_no_series_has_are_refused(server: Server):
    """As the external labels of a Prometheus that answers for itself."""
    server.series = [{"metric": {**GATEWAY, "namespace": "ai-namespace"}}]
    (problem,) = problems(server, matchers={"cluster": "prod-eu"})
    assert problem.keys == {"prometheus.matchers": {"cluster": "prod-eu"}}
    assert "have no label cluster:" in problem.reason


def test_a_stack_that_is_not_there_yet_is_no_finding_beside_anothers_series(server: Server):
    assert problems(server) == []
    server.series = [{"metric": {**GATEWAY, "namespace": "elsewhere", "cluster": "prod-us"}}]
    assert problems(server, matchers={"cluster": "prod-eu"}) == []


def test_a_query_with_a_result_needs_no_second_look(server: Server):
    server.total = [{"metric": {}, "value": [0, "7"]}]
    server.series = [{"metric": GATEWAY}]
    assert problems(server) == []
