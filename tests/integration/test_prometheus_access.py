"""KEDA's real operator asks a real Prometheus that asks who it is, as the stack tells it to.

The operator runs as a process beside a simulated cluster, which pretends its pods alone. Prometheus
itself knows passwords and certificates and no tokens: a proxy in front of it asks for the token.
"""

import json
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from components.autoscaler.scaled_object import authentication_name, scaled_object
from config.sections.inference import InferenceStack
from config.sections.prometheus import ExistingPrometheus
from config.sections.prometheus_access import CLUSTER_AUTHENTICATION
from local_cluster import toolchain
from local_cluster.serving import machine
from tests.asking_prometheus import PASSWORD, USER, asking_prometheus, running
from tests.envoy.harness.waiting import free_ports, wait_until
from tests.integration.checkout import Checkout

pytestmark = pytest.mark.skipif(
    bool(machine.missing_prerequisites()), reason="KEDA is built for the serving cluster alone"
)

KEDA_NAMESPACE = "keda"
TOKEN = "a-token-of-the-test"

SECRETS = {
    "password": {"username": USER, "password": PASSWORD},
    "wrong": {"username": USER, "password": "wrong"},
    "token": {"token": TOKEN},
    "header": {"name": "Authorization", "value": f"Bearer {TOKEN}"},
}

ASKED: dict[str, tuple[str, dict[str, Any], bool]] = {
    "basic": ("prometheus", {"kind": "basic", "secret": "password"}, True),
    "bearer": ("proxy", {"kind": "bearer", "secret": "token"}, True),
    "header": ("proxy", {"kind": "header", "secret": "header"}, True),
    "nothing": ("prometheus", {"kind": "none"}, False),
    "wrong-password": ("prometheus", {"kind": "basic", "secret": "wrong"}, False),
    "password-for-a-token": ("proxy", {"kind": "basic", "secret": "password"}, False),
}
"""Servers that are asked, and if they answer, by the namespace of the autoscaler."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("simulated"))
    try:
        checkout.ops("cluster").ok()
        yield checkout
    finally:
        checkout.ops("down").ok()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that asks for a password."""
    with asking_prometheus(tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.fixture(scope="module")
def proxy(prometheus: str) -> Iterator[str]:
    """Address of a proxy that asks for a token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.send_error(401)
                return
            passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
            passwords.add_password(None, prometheus, USER, PASSWORD, is_authenticated=True)
            opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
            with opener.open(f"{prometheus}{self.path}") as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def keda(simulated: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of KEDA's operator, which may read the Secrets of its own namespace alone."""
    folder = tmp_path_factory.mktemp("keda")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    ports = [f"127.0.0.1:{port}" for port in free_ports(3)]
    command: list[str | Path] = [
        toolchain.ensure("keda")["keda"],
        f"--kubeconfig={simulated.kubeconfig}",
        "--enable-cert-rotation=false",
        f"--cert-dir={folder}",
        f"--metrics-bind-address={ports[0]}",
        f"--health-probe-bind-address={ports[1]}",
        f"--metrics-service-bind-address={ports[2]}",
    ]
    environment = {
        "POD_NAMESPACE": KEDA_NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": KEDA_NAMESPACE,
        "KEDA_RESTRICT_SECRET_ACCESS": "true",
        "WATCH_NAMESPACE": "",
    }
    with running(command, folder / "log", **environment):
        yield folder / "log"


def scaler(namespace: str, address: str, access: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects by which KEDA asks for a load of 64, and what it scales."""
    stack = InferenceStack.model_validate(
        {"namespace": namespace, "autoscaler": {"pollingIntervalSeconds": 1}}
    )
    found = ExistingPrometheus.model_validate(
        {"kind": "existing", "address": address, "namespace": "m", "authentication": access}
    )
    spec = scaled_object(stack, found)
    spec["triggers"][0]["metadata"]["query"] = "vector(64)"
    name, labels = {"name": stack.deployment_name, "namespace": namespace}, {"app": namespace}
    pod = {"containers": [{"name": "c", "image": "none"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    keda_api = "keda.sh/v1alpha1"
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": name,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": keda_api,
            "kind": "ScaledObject",
            "metadata": {"name": stack.scaler_name, "namespace": namespace},
            "spec": spec,
        },
    ]
    if authentication := found.authentication.authentication_spec:
        metadata = {"name": authentication_name(stack)}
        kind = {"apiVersion": keda_api, "kind": CLUSTER_AUTHENTICATION}
        objects.insert(1, {**kind, "metadata": metadata, "spec": authentication})
    return objects


def test_a_scaler_that_tells_who_asks_sees_the_load_and_any_other_is_blind(
    simulated: Checkout, keda: Path, prometheus: str, proxy: str, tmp_path: Path
) -> None:
    addresses = {"prometheus": prometheus, "proxy": proxy}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEDA_NAMESPACE}}
    ]
    objects += [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": KEDA_NAMESPACE},
            "stringData": data,
        }
        for name, data in SECRETS.items()
    ]
    for namespace, (server, access, _) in ASKED.items():
        objects += scaler(namespace, addresses[server], access)
    file = tmp_path / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    simulated.kubectl("apply", "-f", str(file)).ok()

    def health() -> dict[str, bool] | None:
        """Return for each trigger if it answers; None before all have been asked."""
        listed = simulated.kubectl("get", "scaledobject", "-A", "-o", "json").ok().stdout
        found = {
            item["metadata"]["namespace"]: state["status"] == "Happy"
            for item in json.loads(listed)["items"]
            for state in item.get("status", {}).get("health", {}).values()
        }
        return found if found.keys() == ASKED.keys() else None

    wait_until("every trigger has been asked", health, timeout_seconds=120)
    expected = {namespace: sees for namespace, (_, _, sees) in ASKED.items()}
    wait_until("each is as it should be", lambda: health() == expected, timeout_seconds=60)
    assert "status: 401" in keda.read_text()
    # Nothing secret stands where the scaler can be read.
    shown = simulated.kubectl("get", "scaledobject,cta", "-A", "-o", "yaml").ok().stdout
    assert not [word for word in (PASSWORD, TOKEN) if f": {word}" in shown]
