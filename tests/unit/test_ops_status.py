"""Views of `make status`; Prometheus and the API server are stand-ins here.

That Envoy has these series is shown by `tests/envoy`, that the real ones answer by `tests/serving`.
"""

import http.server
import io
import json
import threading
import urllib.parse
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from rich.console import Console
from rich.live import Live

from config.settings import Settings
from ops.stack import status
from ops.stack.cluster_spec import GATEWAY_PORT, PROMETHEUS_PORT
from ops.stack.status import show
from tests.printed import rows

FLEET = '{cluster_name="ai_inference_cluster"}'
LISTENER = '{envoy_http_conn_manager_prefix="grpc_router",workload="envoy-gateway"}'
IN_FLIGHT = f"sum(envoy_cluster_upstream_rq_active{FLEET})"
REFUSED = {
    reason: f"sum(rate(envoy_cluster_upstream_rq_{reason}_overflow{FLEET}[15s]))"
    for reason in ("active", "pending")
}
OWN = (FLEET, FLEET.replace("}", ',namespace="ai-namespace"}'))
"""Selectors of this stack's views, and of the scaler, whose Prometheus may know other stacks."""
SIGNAL = (
    f"{IN_FLIGHT} + 0.32 * ("
    + " + ".join(f"({query} or vector(0))" for query in REFUSED.values())
    + ")"
).replace(*OWN)

ANSWERS = {
    IN_FLIGHT: "7",
    REFUSED["pending"]: "1.5",
    REFUSED["active"]: "2.5",
    f"sum(rate(envoy_cluster_upstream_cx_none_healthy{FLEET}[15s]))": "3.5",
    f"sum(rate(envoy_http_downstream_rq_max_duration_reached{LISTENER}[15s]))": "4.5",
    SIGNAL: "39",
    'min(envoy_listener_ssl_certificate_expiration_unix_time_seconds{workload="envoy-gateway"}'
    " - time()) / 86400": "61.5",
}


@pytest.fixture
def prometheus() -> Iterator[int]:
    """Port of a server that knows the answers to these queries alone."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
            found = [{"value": [0, ANSWERS[asked]]}] if asked in ANSWERS else []
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"result": found}}).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _deployment(ready: int | None, wanted: int, updated: int | None) -> SimpleNamespace:
    status = SimpleNamespace(readyReplicas=ready, updatedReplicas=updated)
    return SimpleNamespace(status=status, spec=SimpleNamespace(replicas=wanted))


_SEEN = SimpleNamespace(external=SimpleNamespace(current=SimpleNamespace(averageValue="13")))
_SCALING = SimpleNamespace(type="ScalingActive", status="True")

OBJECTS = {
    "triton-inference-deployment": _deployment(3, 4, None),
    "envoy-gateway": _deployment(2, 2, 2),
    "triton-inference-scaler": SimpleNamespace(
        status={"conditions": [{"type": "Ready", "status": "True"}]}
    ),
    "keda-hpa-triton-inference-scaler": SimpleNamespace(
        status=SimpleNamespace(currentMetrics=[_SEEN], desiredReplicas=5, conditions=[_SCALING])
    ),
}


@pytest.mark.parametrize(
    ("tls", "more"),
    [
        ({"kind": "none"}, {}),
        (
            {"kind": "secret", "secretName": "gateway-tls"},
            {"certificate expires in": ["61.5 days"]},
        ),
    ],
)
def test_every_row_has_its_own_number(
    prometheus: int,
    capsys: pytest.CaptureFixture[str],
    tls: dict[str, str],
    more: dict[str, list[str]],
) -> None:
    client = SimpleNamespace(get=lambda _, name, namespace: OBJECTS[name])  # noqa: ARG005
    cluster: Any = SimpleNamespace(
        record=SimpleNamespace(ports={GATEWAY_PORT: 1, PROMETHEUS_PORT: prometheus}),
        is_running=True,
        client=lambda: client,
    )
    settings = Settings.model_validate({"inference": [{"gateway": {"tls": tls}}]})
    show(cluster, settings, once=True)
    shown = rows(capsys.readouterr().out)
    for title in ("deployment", "what"):
        del shown[title]
    assert shown == {
        "triton-inference-deployment": ["3", "4", "0"],
        "envoy-gateway": ["2", "2", "2"],
        "in flight": ["7.0"],
        "refused, replicas and waiting room full": ["1.5 /s"],
        "refused, gateway's limit in flight": ["2.5 /s"],
        "refused, no healthy replica": ["3.5 /s"],
        "ended, deadline passed (streams: longest life)": ["4.5 /s"],
        "signal": ["39.0"],
        "threshold per replica": ["16"],
        "ScaledObject ready": ["True"],
        "seen per replica": ["13"],
        "replicas wanted": ["5"],
        "may scale": ["True"],
        **more,
    }


class LookedEnoughError(Exception):
    """An error that ends the live view here."""


def test_a_live_view_outlives_a_cluster_that_goes_and_comes_back(
    prometheus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(_: object, name: str, namespace: str) -> SimpleNamespace:
        del namespace
        if len(seen) == 1:
            raise httpx2.ConnectError("connection refused")
        return OBJECTS[name]

    seen: list[str] = []
    console = Console(force_terminal=True, file=io.StringIO(), width=120)

    class Screen(Live):
        def update(self, renderable: Any, *, refresh: bool = False) -> None:
            del refresh
            with console.capture() as shown:
                console.print(renderable)
            seen.append(shown.get())
            if len(seen) == 3:
                raise LookedEnoughError

    cluster: Any = SimpleNamespace(
        record=SimpleNamespace(ports={GATEWAY_PORT: 1, PROMETHEUS_PORT: prometheus}),
        is_running=True,
        client=lambda: SimpleNamespace(get=get),
    )
    monkeypatch.setattr(status, "Console", lambda: console)
    monkeypatch.setattr(status, "Live", Screen)
    monkeypatch.setattr(status, "_EVERY_SECONDS", 0)
    with pytest.raises(LookedEnoughError):
        show(cluster, Settings())
    assert ["does not answer: connection refused" in view for view in seen] == [False, True, False]
