"""Preflight asks an existing Prometheus as KEDA would: real Prometheus, real API server.

The way to a Service inside the cluster is shown where pods run (tests/serving).
"""

from collections.abc import Callable, Iterator

import pytest
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Secret, Service

from local_cluster.cluster import Cluster
from tests.asking_prometheus import PASSWORD, USER, asking_prometheus
from tests.integration.preflights import Kubeconfig

KEDA_NAMESPACE = "scaling"

Found = Callable[..., list[str]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with asking_prometheus(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.fixture
def asked(document: Kubeconfig, found: Found, address: str) -> Callable[..., list[str]]:
    """Messages about a Prometheus that is asked in some way."""

    def ask(at: str = address, **parameters: object) -> list[str]:
        prometheus = {"kind": "existing", "address": at, "namespace": "monitoring", **parameters}
        keda = {"kind": "existing", "namespace": KEDA_NAMESPACE}
        return found(document, prometheus=prometheus, keda=keda)

    return ask


@pytest.fixture(scope="module")
def secrets(bare_cluster: Cluster) -> Iterator[None]:
    """Secrets in KEDA's namespace: one that is right, one that is wrong, one that lacks a key."""
    client = bare_cluster.client()
    client.create(Namespace(metadata=ObjectMeta(name=KEDA_NAMESPACE)))
    for name, data in {
        "right": {"username": USER, "password": PASSWORD},
        "wrong": {"username": USER, "password": "wrong"},
        "half": {"username": USER},
    }.items():
        metadata = ObjectMeta(name=name, namespace=KEDA_NAMESPACE)
        client.create(Secret(metadata=metadata, stringData=data))
    yield
    client.delete(Namespace, KEDA_NAMESPACE)


def basic(secret: str) -> dict[str, object]:
    return {"authentication": {"kind": "basic", "secret": secret}}


@pytest.mark.usefixtures("secrets")
def test_a_rejected_query_explains_the_fix_and_shows_no_secret(asked) -> None:
    assert asked(**basic("right")) == []
    (message,) = asked()
    assert "it answers 401; the scaler would see no load" in message
    assert "fix: state prometheus.authentication" in message
    (message,) = asked(**basic("wrong"))
    assert "it answers 401" in message
    assert "fix: correct the Secret that prometheus.authentication names" in message
    (message,) = asked(**basic("half"))
    assert "the Secret half in scaling holds no password" in message
    (message,) = asked(**basic("none"))
    assert "there is no Secret none in scaling, where KEDA reads it" in message


@pytest.mark.usefixtures("secrets")
def test_what_is_no_prometheus_is_refused(asked, address: str) -> None:
    (message,) = asked(f"{address}/elsewhere", **basic("right"))
    assert "it answers 404" in message
    assert "fix: name the base URL of a Prometheus" in message


def test_a_service_and_its_port_must_be_there(asked, bare_cluster: Cluster) -> None:
    (message,) = asked("http://metrics.default.svc:9090")
    assert "there is no Service metrics in default" in message
    client = bare_cluster.client()
    service = Service(
        metadata=ObjectMeta(name="metrics", namespace="default"),
        spec=ServiceSpec(ports=[ServicePort(port=9091)]),
    )
    client.create(service)
    (message,) = asked("http://metrics.default.svc.cluster.local:9090")
    client.delete(Service, "metrics", namespace="default")
    assert "has no port 9090; it has 9091" in message
