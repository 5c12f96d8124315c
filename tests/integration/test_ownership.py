"""Ownership of objects on a real API server, for a stack that declares them.

That the engine asks before it changes anything is tests/integration/test_other_stack.py's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.resources.rbac_authorization_v1 import ClusterRole

from components.cluster.preflight import unowned
from components.common.labels import (
    IDENTITY_LABEL,
    OWNER_ANNOTATION,
    PART_OF,
    PART_OF_LABEL,
    namespace_labels,
)
from components.state.marks import ObjectName
from components.state.objects import Kinds
from components.state.ownership import UNMARKED, Claim
from config.inventory import made_namespaces
from config.settings import Settings
from local_cluster.cluster import Cluster
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import STACK, Kubeconfig, api_of, unwrapped

OURS, THEIRS = "7b0c1f6e-ours", "51d2a8c4-theirs"
WORDS = "organization/kubemind-inference/dev (s3://other)"
NAMESPACE = "observability"
CLAIM = Claim(identity=OURS, stack=STACK)

Labels = Mapping[str, str]
Found = Callable[..., list[str]]


def marked(identity: str, **labels: str) -> dict[str, str]:
    return {IDENTITY_LABEL: identity, **labels}


def namespaces(client: Client) -> set[str | None]:
    return {one.metadata.name for one in client.list(Namespace) if one.metadata}


def config_map(name: str = "prometheus-server") -> ObjectName:
    metadata = {"name": name, "namespace": NAMESPACE}
    return ObjectName.of("v1", "ConfigMap", metadata)


@pytest.fixture(scope="module")
def client(bare_cluster: Cluster) -> Iterator[Client]:
    client = bare_cluster.client()
    yield client
    for made in client.list(ClusterRole, labels={IDENTITY_LABEL: THEIRS}):
        client.delete(ClusterRole, made.metadata.name)
    client.delete(Namespace, NAMESPACE)
    wait_until("it is gone", lambda: NAMESPACE not in namespaces(client), 60)


@pytest.fixture
def make(client: Client) -> Callable[..., None]:
    """Apply an object with these labels, and none that it had before."""

    def apply(kind: type[Any], labels: Labels | None, name: str, **fields: Any) -> None:
        metadata = ObjectMeta(
            name=name,
            namespace=None if kind in (Namespace, ClusterRole) else NAMESPACE,
            labels=dict(labels or {}),
            annotations={OWNER_ANNOTATION: WORDS},
        )
        client.apply(kind(metadata=metadata, **fields), field_manager="test", force=True)

    return apply


@pytest.fixture
def found(document: Kubeconfig) -> Found:
    """Return the refusals about these objects, one message an owner."""

    def look(*names: ObjectName, claim: Claim = CLAIM, **parameters: Any) -> list[str]:
        settings = Settings.model_validate(parameters)
        made = made_namespaces(settings).values()
        places = {ObjectName.of("v1", "Namespace", {"name": name}) for name in made}
        with api_of(document) as api:
            return [unwrapped(p) for p in unowned(settings, api, {*places, *names}, claim)]

    return look


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        ({}, "not made by this stack"),
        ({PART_OF_LABEL: "another-product"}, "not made by this stack"),
        (namespace_labels("staging"), "of the Pulumi stack staging"),
        (marked(THEIRS), f"of the stack {WORDS} (identity {THEIRS})"),
        (marked(THEIRS, **namespace_labels("staging")), f"(identity {THEIRS})"),
    ],
)
def test_a_namespace_of_somebody_else_is_refused(
    make: Callable[..., None], found: Found, labels: Labels, whose: str
) -> None:
    make(Namespace, labels, NAMESPACE)
    (message,) = found()
    assert whose in message
    assert "Namespace observability" in message
    assert "`destroy` would delete them" in message
    assert "now: prometheus.namespace = observability" in message
    assert "fix: name other namespaces" in message
    assert f"kubemind-inference/stack={STACK} kubemind-inference/identity-" in message


@pytest.mark.parametrize(
    "labels", [namespace_labels(STACK), {PART_OF_LABEL: PART_OF}, marked(OURS)]
)
def test_a_namespace_of_the_stack_and_one_handed_over_pass(
    make: Callable[..., None], found: Found, labels: Labels
) -> None:
    make(Namespace, labels, NAMESPACE)
    assert found() == []


def test_every_key_that_names_a_namespace_is_named(make: Callable[..., None], found: Found) -> None:
    make(Namespace, {}, NAMESPACE)
    stacks = [{"namePrefix": f"{name}-", "namespace": NAMESPACE} for name in "ab"]
    elsewhere = {"kind": "existing", "address": "http://p:9090", "namespace": "monitoring"}
    (message,) = found(inference=stacks, prometheus=elsewhere)
    assert "inference[0].namespace = observability" in message
    assert "inference[1].namespace = observability" in message


def test_a_namespace_that_the_stack_does_not_make_is_left_to_its_owner(
    make: Callable[..., None], found: Found
) -> None:
    make(Namespace, {}, NAMESPACE)
    elsewhere = {"kind": "existing", "address": "http://p:9090", "namespace": NAMESPACE}
    assert found(prometheus=elsewhere) == []


@pytest.mark.parametrize(
    ("labels", "claim", "passes"),
    [
        (marked(OURS), CLAIM, True),
        (marked(THEIRS), CLAIM, False),
        (marked(THEIRS), Claim(identity=OURS, stack=STACK, held=frozenset({config_map()})), False),
        (marked(THEIRS), Claim(identity=OURS, stack=STACK, adopts=frozenset({THEIRS})), True),
        ({PART_OF_LABEL: PART_OF}, CLAIM, False),
        ({}, Claim(identity=OURS, stack=STACK, held=frozenset({config_map()})), True),
        (
            {PART_OF_LABEL: PART_OF},
            Claim(identity=OURS, stack=STACK, adopts=frozenset({UNMARKED})),
            True,
        ),
        ({}, Claim(identity=OURS, stack=STACK, adopts=frozenset({UNMARKED})), False),
    ],
    ids=[
        "ours",
        "theirs",
        "theirs and in the state",
        "adopted",
        "an earlier release's",
        "an earlier release's and in the state",
        "an earlier release's and adopted",
        "a hand's",
    ],
)
def test_an_object_is_the_stacks_by_its_identity_or_its_state(
    make: Callable[..., None], found: Found, labels: Labels, claim: Claim, passes: bool
) -> None:
    make(Namespace, namespace_labels(STACK), NAMESPACE)
    make(ConfigMap, labels, "prometheus-server")
    messages = found(config_map(), claim=claim)
    assert (messages == []) is passes, messages
    assert all("ConfigMap observability/prometheus-server" in message for message in messages)


def test_an_object_of_the_whole_cluster_is_looked_for_too(
    make: Callable[..., None], found: Found
) -> None:
    make(Namespace, namespace_labels(STACK), NAMESPACE)
    make(ClusterRole, marked(THEIRS), "prometheus-server", rules=[])
    metadata = {"name": "prometheus-server"}
    (message,) = found(ObjectName.of("rbac.authorization.k8s.io/v1", "ClusterRole", metadata))
    assert "ClusterRole prometheus-server" in message


@pytest.mark.parametrize(("immutable", "stack"), [(True, STACK), (False, STACK), (True, "other")])
def test_what_a_destroyed_stack_of_the_same_name_left_is_taken_back(
    make: Callable[..., None], client: Client, found: Found, immutable: bool, stack: str
) -> None:
    """Namespaces and models; anything else shows that the other stack is still there."""
    make(Namespace, marked(THEIRS, **namespace_labels(stack)), NAMESPACE)
    make(ConfigMap, {}, "prometheus-server")
    make(ConfigMap, marked(THEIRS), "left", immutable=immutable)
    messages = found()
    client.delete(ConfigMap, "left", namespace=NAMESPACE)
    assert (messages == []) is (immutable and stack == STACK)


def test_a_kind_that_the_cluster_does_not_serve_has_no_objects(document: Kubeconfig) -> None:
    with api_of(document) as api:
        name = ObjectName.of("example.com/v1", "Example", {"name": "a", "namespace": "default"})
        assert Kinds(api).get(name) == {}
