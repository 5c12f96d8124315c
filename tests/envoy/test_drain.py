"""A gateway pod stops: its clients move to another gateway, and no call is lost.

kubelet's part (preStop, then SIGTERM) and kube-proxy's (new connections to the other pod once the
endpoint has gone) are played here; that a cluster does them in this order is not proved.
"""

import http.server
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest

from bench.loopback import local_bootstrap
from components.gateway.envoy.drain import drain_script
from config.sections.inference import InferenceStack
from tests.envoy.harness.backend import Fleet
from tests.envoy.harness.bed import Edit, local_stack, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.dns import HeadlessService
from tests.envoy.harness.gateway import LOOPBACK, Gateway
from tests.envoy.harness.secrets import NAME, Mounts
from tests.envoy.harness.service import Service
from tests.envoy.harness.steady import SteadyCalls
from tests.envoy.harness.stream import Stream
from tests.envoy.harness.waiting import free_ports, wait_until

LAG_SECONDS = 1
TRAFFIC = {"deadlineSeconds": 5, "maxStreamSeconds": 10}


@dataclass
class Two:
    """Two gateways behind one Service that leads to the first."""

    first: Gateway
    second: Gateway
    service: Service
    fleet: Fleet


@contextmanager
def two_gateways(folder: Path, edit: Edit = unchanged, **gateway: Any) -> Iterator[Two]:
    ports = free_ports(2, "0.0.0.0")
    (dns_port,) = free_ports(1)
    stacks = [
        local_stack(*ports, gateway={"endpointLagSeconds": LAG_SECONDS, **gateway}, traffic=TRAFFIC)
        for _ in range(2)
    ]
    with ExitStack() as exits:
        fleet = exits.enter_context(Fleet(2, stacks[0], 0.02, 1000))
        exits.enter_context(HeadlessService(stacks[0].discovery_host, dns_port, fleet.hosts, 5))
        gateways: list[Gateway] = []
        for stack in stacks:
            config = local_bootstrap(stack, LOOPBACK, dns_port)
            edit(config)
            gateways.append(exits.enter_context(Gateway(stack, config, folder)))
        for gateway in gateways:
            wait_until("replicas are healthy", lambda g=gateway: g.healthy_hosts() == 2)
        service = exits.enter_context(Service([gateways[0].port]))
        yield Two(*gateways, service, fleet)


def run_hook(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE, text=True)


def stop(two: Two, script: str) -> int:
    """Delete a pod as Kubernetes does: endpoint, preStop, SIGTERM; return the hook's status."""
    hook = run_hook(script)
    two.service.endpoints = [two.second.port]
    status = hook.wait(timeout=two.first.stack.gateway_grace_seconds)
    two.first.process.send_signal(signal.SIGTERM)
    two.first.process.wait(10)
    return status


def test_the_one_connection_moves_and_no_call_fails(tmp_path):
    with two_gateways(tmp_path) as two, GrpcClient(two.service.port) as client:
        with SteadyCalls(client) as load:
            stream = Stream(client, pause_seconds=0.1, messages=40)
            wait_until("the stream has begun", lambda: stream.received)
            assert stop(two, drain_script(two.first.stack)) == 0
            load.more()
        wait_until("the stream ends", lambda: stream.ended)
        assert set(codes(load.outcomes)) == {"OK"}
        assert (stream.call.code().name, stream.received) == ("OK", 40)
        assert two.second.downstream_stat("downstream_cx_total") == 1


def test_a_connection_with_tls_moves_too(tmp_path):
    mounts = Mounts(tmp_path / "mounts")
    with two_gateways(tmp_path, mounts.edit, tls=mounts.options) as two:
        script = drain_script(two.first.stack)
        credentials = grpc.ssl_channel_credentials(mounts.ca)
        with (
            GrpcClient(
                two.service.port, credentials=credentials, ssl_target_name_override=NAME
            ) as client,
            SteadyCalls(client) as calls,
        ):
            assert stop(two, script) == 0
            calls.more()
        assert set(codes(calls.outcomes)) == {"OK"}


def test_an_idle_connection_is_moved_too(tmp_path):
    with two_gateways(tmp_path) as two, GrpcClient(two.service.port) as client:
        client.call()
        assert stop(two, drain_script(two.first.stack)) == 0
        assert client.call().code.name == "OK"


@pytest.mark.parametrize("script", ["true", f"sleep {LAG_SECONDS + 2}"], ids=["nothing", "sleep"])
def test_without_the_drain_calls_are_lost(tmp_path, script):
    """SIGTERM alone, or after the `preStop.sleep` that most charts have."""
    with two_gateways(tmp_path) as two, GrpcClient(two.service.port) as client:
        two.fleet.hang()
        batch = client.start(5)
        two.fleet.wait_for_active(5)
        stop(two, script)
        two.fleet.resume()
        batch.wait()
        assert batch.codes == {"UNAVAILABLE": 5}


def with_drain_on_failing_health(config):
    del config["static_resources"]["listeners"][0]["drain_type"]


@pytest.mark.parametrize(
    ("edit", "stay"), [(unchanged, True), (with_drain_on_failing_health, False)]
)
def test_readiness_fails_before_anybody_is_sent_away(tmp_path, edit, stay):
    """Load balancers look at readiness; a client sent away too early would come back here."""
    with two_gateways(tmp_path, edit) as two, GrpcClient(two.service.port) as client:
        two.first.get("/healthcheck/fail", "POST")
        ops = two.first.stack.gateway.ops_port
        assert two.first.get("/ready", port=ops)[0] == 503
        client.calls(10)
        assert (two.first.downstream_stat("downstream_cx_drain_close") == 0) is stay


class SlowAdmin(http.server.BaseHTTPRequestHandler):
    """Admin on a busy machine."""

    paths: ClassVar[list[str]] = []

    def _answer(self) -> None:
        time.sleep(1)
        self.paths.append(self.path)
        body = b"http.grpc_router.downstream_cx_active: 0\n"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


def short_stack() -> InferenceStack:
    return local_stack(
        *free_ports(2),
        gateway={"endpointLagSeconds": LAG_SECONDS},
        traffic={"deadlineSeconds": 0.1, "maxStreamSeconds": 0.1},
    )


def test_a_slow_admin_is_waited_for():
    stack = short_stack()
    address = ("127.0.0.1", stack.gateway.admin_port)
    with http.server.ThreadingHTTPServer(address, SlowAdmin) as admin:
        threading.Thread(target=admin.serve_forever, daemon=True).start()
        hook = run_hook(drain_script(stack))
        assert hook.wait(timeout=stack.gateway_grace_seconds) == 0
        admin.shutdown()
    assert [path.partition("?")[0] for path in SlowAdmin.paths] == [
        "/healthcheck/fail",
        "/drain_listeners",
        "/stats",
    ]


@pytest.mark.parametrize("listens", [True, False], ids=["silent", "gone"])
def test_an_admin_that_never_answers_does_not_hold_the_pod(listens):
    """The hook ends by itself before kubelet would kill it, and says why."""
    stack = short_stack()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", stack.gateway.admin_port))
        if listens:
            silent.listen()
        hook = run_hook(drain_script(stack))
        _, said = hook.communicate(timeout=stack.gateway_grace_seconds)
    assert hook.returncode == 1
    assert "admin did not answer" in said
