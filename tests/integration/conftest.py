import hashlib
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from lightkube import Client
from lightkube.resources.core_v1 import Namespace

from components.common.labels import namespace_labels
from config.versions import KEDA_CHART_VERSION
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from tests.envoy.harness.waiting import wait_until
from tests.integration.api_objects import objects
from tests.integration.checkout import Checkout, Ran
from tests.integration.eks_account import Account, an_account
from tests.integration.preflights import STACK, Kubeconfig, api_of, problems
from tests.integration.standin_kubelet import Join, Kubelet, own_nodes


@pytest.fixture(scope="package")
def provisioning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Checkout, Ran]]:
    """A checkout in which `make up` has run once, and what it said; its cluster goes with it."""
    checkout = Checkout.make(tmp_path_factory.mktemp("checkout"))
    try:
        yield checkout, checkout.up().ok()
    finally:
        checkout.ops("down").ok()


@pytest.fixture
def provisioned(provisioning: tuple[Checkout, Ran]) -> Iterator[Checkout]:
    """The one checkout in which `make up` has run; each test leaves its stack converged.

    The parameters are put back here.
    """
    checkout, _ = provisioning
    yield checkout
    checkout.reset_config()
    assert checkout.git("status", "--porcelain") == ""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in which nothing has run yet."""
    checkout = Checkout.make(tmp_path / "checkout")
    try:
        yield checkout
    finally:
        checkout.ops("down").ok()


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout in which `make cluster` has run once."""
    checkout = Checkout.make(tmp_path_factory.mktemp("empty"))
    try:
        checkout.ops("cluster").ok()
        yield checkout
    finally:
        checkout.ops("down").ok()


@pytest.fixture
def empty(started: Checkout) -> Iterator[Checkout]:
    """The one checkout whose cluster holds no stack; each test destroys what it made.

    What the cluster itself holds, and the parameters, are put back here.
    """
    before = started.objects()
    yield started
    started.reset_config()
    started.ops("cluster").ok()
    left = started.objects() - before
    # Bare `pulumi destroy` keeps namespaces. A test that failed leaves more, which goes before the
    # next one.
    namespaces = {name for name in left if name.startswith("namespace/")}
    gone = {name for name in left if name.startswith(("namespace/", "clusterrole"))}
    if gone:
        started.kubectl("delete", *gone).ok()
    assert left == namespaces
    assert started.git("status", "--porcelain") == ""


@pytest.fixture(scope="package")
def bare_cluster(started: Checkout) -> Cluster:
    """Its cluster, for tests that drive no stack and put back what they change."""
    return Cluster(started.env.state_dir)


@pytest.fixture
def account(empty: Checkout, bare_cluster: Cluster, tmp_path: Path) -> Iterator[Account]:
    """An AWS account with a cluster that holds no stack."""
    with an_account(empty, bare_cluster, tmp_path) as made:
        yield made


@pytest.fixture
def document(bare_cluster: Cluster) -> Kubeconfig:
    """The way into the bare cluster."""
    return yaml.safe_load(bare_cluster.kubeconfig.read_text())


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., list[str]]:
    """Problems that preflight finds with a kubeconfig, one printed message each."""
    return partial(problems, tmp_path / "kubeconfig")


@pytest.fixture
def namespace(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, under the strictest pod security."""
    words, digest = request.node.name, hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    name = f"{re.sub('[^a-z0-9]+', '-', words.lower())[:50].strip('-')}-{digest[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.create(Namespace.from_dict({"metadata": {"name": name, "labels": labels}}))
    yield name
    client.delete(Namespace, name)


@pytest.fixture
def join(client: Client) -> Iterator[Join]:
    """Add a node, on which no pod of others may run."""
    with own_nodes(client) as add:
        yield add


@pytest.fixture
def kubelet(client: Client, namespace: str) -> Iterator[Kubelet]:
    """The kubelet of the namespace's pods, which the test tells what to report."""
    kubelet = Kubelet(client, namespace)
    yield kubelet
    kubelet.stop()


@pytest.fixture
def foreign() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of the cluster's."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def api(bare_cluster):
    """The cluster, as its administrator."""
    with api_of(yaml.safe_load(bare_cluster.kubeconfig.read_text())) as asked:
        yield asked


@pytest.fixture
def put(api):
    """Make objects for the length of a test."""
    with objects(api) as make:
        yield make


@pytest.fixture(scope="module")
def ai_namespace(api):
    """The inference stack's namespace, as an earlier `up` has left it."""
    with objects(api) as make:
        make(
            "/api/v1/namespaces",
            {"metadata": {"name": "ai-namespace", "labels": namespace_labels(STACK)}},
        )
        # Pods need their namespace's account.
        account = "/api/v1/namespaces/ai-namespace/serviceaccounts/default"
        wait_until("it has an account", lambda: api.ask("GET", account), 60)
        yield "/api/v1/namespaces/ai-namespace"


@pytest.fixture
def chart_repository(tmp_path: Path) -> Iterator[str]:
    """Address of a chart repository on loopback that holds KEDA's official chart."""
    folder = tmp_path / "charts"
    folder.mkdir()
    chart = {"apiVersion": "v2", "name": "keda", "version": KEDA_CHART_VERSION}
    shutil.copy(toolchain.ensure("keda-chart")["keda-chart"], folder / "keda.tgz")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    )
    address = f"http://127.0.0.1:{server.server_address[1]}"
    index = {"apiVersion": "v1", "entries": {"keda": [{**chart, "urls": [f"{address}/keda.tgz"]}]}}
    (folder / "index.yaml").write_text(yaml.safe_dump(index))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address
    server.shutdown()
    server.server_close()
    thread.join()
