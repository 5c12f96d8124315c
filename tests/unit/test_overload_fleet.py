"""Following a fleet: against an API server's own protocol, played by a few lines of HTTP.

Not shown here: that a real API server speaks it; the serving tests do that.
"""

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster, User

from bench.overload.fleet import FleetStep, FleetWatch
from ops.errors import OpsError

DEPLOYMENT, HPA = "deployments", "horizontalpodautoscalers"


def deployment(replicas: int, ready: int) -> dict[str, Any]:
    template = {"metadata": {}, "spec": {"containers": []}}
    spec = {"replicas": replicas, "selector": {}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "triton", "resourceVersion": "2"},
        "spec": spec,
        "status": {"readyReplicas": ready},
    }


def hpa(wanted: int) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaler", "resourceVersion": "2"},
        "spec": {"maxReplicas": 20, "scaleTargetRef": {"kind": "Deployment", "name": "triton"}},
        "status": {"currentReplicas": 2, "desiredReplicas": wanted},
    }


class Api(http.server.ThreadingHTTPServer):
    """Lists what it is given, and sends on what it is told."""

    daemon_threads = True

    def __init__(self, **listed: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.listed = listed
        self.events = {kind: queue.Queue[tuple[str, dict[str, Any]] | None]() for kind in listed}

    def tell(self, kind: str, event: str, thing: dict[str, Any]) -> None:
        self.events[kind].put((event, thing))

    def hang_up(self, kind: str) -> None:
        self.events[kind].put(None)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        path, _, parameters = self.path.partition("?")
        kind = path.rpartition("/")[2]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if "watch=true" in parameters:
            while event := self.server.events[kind].get():
                line = json.dumps({"type": event[0], "object": event[1]})
                self.wfile.write(line.encode() + b"\n")
                self.wfile.flush()
        else:
            items = self.server.listed[kind]
            self.wfile.write(
                json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
            )

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def watched(**listed: list[dict[str, Any]]) -> Iterator[tuple[Api, FleetWatch]]:
    with Api(**listed) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        try:
            config = KubeConfig.from_one(
                cluster=Cluster(server=f"http://127.0.0.1:{api.server_port}"), user=User()
            )
            client = Client(config, trust_env=False)
            with FleetWatch(client, "ai-namespace", "triton", "scaler") as watch:
                yield api, watch
        finally:
            for kind in listed:
                api.hang_up(kind)
            api.shutdown()


def counts(step: FleetStep) -> tuple[int, int, int]:
    return step.wanted, step.replicas, step.ready


def test_every_step_of_a_growing_fleet_is_seen_in_order_and_timed() -> None:
    with watched(**{DEPLOYMENT: [deployment(2, 2)], HPA: [hpa(2)]}) as (api, watch):
        api.tell(HPA, "MODIFIED", hpa(20))
        watch.until(lambda step: step.wanted == 20, 10)
        api.tell(DEPLOYMENT, "MODIFIED", deployment(20, 2))
        api.tell(DEPLOYMENT, "MODIFIED", deployment(20, 2))
        api.tell(DEPLOYMENT, "MODIFIED", deployment(20, 20))
        assert counts(watch.until(lambda step: step.ready == 20, 10)) == (20, 20, 20)
    assert [counts(step) for step in watch.steps] == [
        (2, 2, 2),
        (20, 2, 2),
        (20, 20, 2),
        (20, 20, 20),
    ]
    times = [step.at for step in watch.steps]
    assert times == sorted(times)


def test_what_is_so_already_is_not_waited_for_and_what_was_so_before_does_not_count() -> None:
    with watched(**{DEPLOYMENT: [deployment(2, 2)], HPA: [hpa(2)]}) as (api, watch):
        assert watch.until(lambda step: step.ready == 2, 10) is watch.steps[0]
        api.tell(DEPLOYMENT, "MODIFIED", deployment(2, 1))
        watch.until(lambda step: step.ready == 1, 10)
        with pytest.raises(TimeoutError, match="FleetStep"):
            watch.until(lambda step: step.ready == 2, 0.05)


def test_what_is_not_there_counts_as_nothing() -> None:
    with watched(**{DEPLOYMENT: [deployment(2, 2)], HPA: []}) as (api, watch):
        assert counts(watch.steps[0]) == (0, 2, 2)
        api.tell(DEPLOYMENT, "DELETED", deployment(2, 2))
        assert counts(watch.until(lambda step: step.replicas == 0, 10)) == (0, 0, 0)


def test_a_watch_that_the_server_ends_goes_on() -> None:
    with watched(**{DEPLOYMENT: [deployment(2, 2)], HPA: [hpa(2)]}) as (api, watch):
        api.hang_up(HPA)
        api.tell(HPA, "MODIFIED", hpa(5))
        watch.until(lambda step: step.wanted == 5, 10)


def test_a_watch_that_cannot_go_on_says_so() -> None:
    with watched(**{DEPLOYMENT: [deployment(2, 2)], HPA: [hpa(2)]}) as (api, watch):
        api.tell(HPA, "MODIFIED", {"apiVersion": "autoscaling/v2", "kind": "Nonsense"})
        with pytest.raises(OpsError, match="the watch of the fleet failed"):
            watch.until(lambda step: step.wanted == 5, 10)
